// Calls of the cloud's own client libraries, driven by a test.
//
//   node sdk-client.js DIR KEY-FILE
//
// DIR has node_modules, KEY-FILE is what "pairctl key create --out" wrote.  A
// line in is {"how", "port", "action", "params"}; the line out is
// "200 ANSWER", or "STATUS CODE MESSAGE", or "- ERROR" for what a client
// could not make sense of.

'use strict';

const { createRequire } = require('module');
const fs = require('fs');
const readline = require('readline');

const load = createRequire(process.argv[2] + '/');
const key = JSON.parse(fs.readFileSync(process.argv[3]));
const VERSION = '2021-07-30';
const clients = {};             // they keep connections, so they are kept

function once(name, make) {
  clients[name] = clients[name] || make();
  return clients[name];
}

// @alicloud/pop-core: the old RPC form.
async function pop(call, method) {
  const Client = load('@alicloud/pop-core').RPCClient;
  const client = once('pop' + call.port, () => new Client({
    accessKeyId: key.AccessKeyId,
    accessKeySecret: key.AccessKeySecret,
    endpoint: 'http://127.0.0.1:' + call.port,
    apiVersion: VERSION,
  }));
  return client.request(call.action, call.params, { method });
}

// @alicloud/openapi-core: the current form, and the old one in its words.
async function openapi(call, config, where) {
  const core = load('@alicloud/openapi-core');
  const util = core.$OpenApiUtil;
  const client = once(JSON.stringify(config) + call.port,
    () => new core.default(new util.Config(Object.assign({
      accessKeyId: key.AccessKeyId,
      accessKeySecret: key.AccessKeySecret,
      endpoint: '127.0.0.1:' + call.port,
      protocol: 'HTTP',
    }, config))));
  const params = new util.Params({
    action: call.action, version: VERSION, protocol: 'HTTP', pathname: '/',
    method: 'POST', authType: 'AK', style: 'RPC', reqBodyType: 'formData',
    bodyType: 'json',
  });
  const { RuntimeOptions } =
    createRequire(load.resolve('@alicloud/openapi-core'))(
      '@darabonba/typescript');
  const request = new util.OpenApiRequest({
    [where]: util.default ? util.default.query(call.params) : call.params,
  });
  const answer = await client.callApi(params, request,
    new RuntimeOptions({}));
  return answer.body;
}

const ways = {
  'get': (c) => pop(c, 'GET'),
  'post': (c) => pop(c, 'POST'),
  'acs3': (c) => openapi(c, {}, 'query'),
  'acs3-body': (c) => openapi(c, {}, 'body'),
  'v2': (c) => openapi(c, { signatureAlgorithm: 'v2' }, 'query'),
  'v2-body': (c) => openapi(c, { signatureAlgorithm: 'v2' }, 'body'),
};

async function main() {
  for await (const line of readline.createInterface(
    { input: process.stdin })) {
    const call = JSON.parse(line);
    let text;

    try {
      text = '200 ' + JSON.stringify(await ways[call.how](call));
    } catch (e) {
      const status = e.statusCode ||
        (e.entry && e.entry.response && e.entry.response.statusCode) || '';
      text = (e.code && !(e instanceof SyntaxError)
        ? `${status} ${e.code} ${e.message}` : `- ${e.stack}`);
    }
    process.stdout.write(text.replace(/\n/g, ' ') + '\n');
  }
}

main();
