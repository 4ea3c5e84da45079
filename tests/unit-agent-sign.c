/* Signatures of the API against requests of the vendor's own clients. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto.h"
#include "params.h"
#include "sign.h"

#define EMPTY_HASH \
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void
add (struct params *p, const char *query)
{
  assert_int_equal (params_add_form (p, query, strlen (query)), 0);
}

struct header {
  const char *name, *value;
};

static const char *
find_header (void *opaque, const char *name)
{
  const struct header *h;

  for (h = opaque; h->name; ++h) {
    if (strcmp (h->name, name) == 0)
      return h->value;
  }
  return NULL;
}

static void
check_acs3 (const char *query, struct header *headers, const char *names,
            const char *secret, const char *want)
{
  struct params p = { 0 };
  char signature[SIGN_SIZE];
  char *text;

  add (&p, query);
  text = sign_acs3_request ("POST", "/", &p, names, find_header, headers,
                            EMPTY_HASH);
  assert_non_null (text);
  sign_acs3 (secret, text, signature);
  assert_string_equal (signature, want);
  free (text);
  params_release (&p);
}

static void
acs3_vendor (void **state)
{
  struct header headers[] = {
    { "host", "ecs.cn-shanghai.aliyuncs.com" },
    { "x-acs-action", "RunInstances" },
    { "x-acs-content-sha256", EMPTY_HASH },
    { "x-acs-date", "2023-10-26T10:22:32Z" },
    { "x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d" },
    { "x-acs-version", "2014-05-26" },
    { NULL, NULL }
  };

  (void) state;
  check_acs3 ("ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"
              "&RegionId=cn-shanghai", headers,
              "host;x-acs-action;x-acs-content-sha256;x-acs-date;"
              "x-acs-signature-nonce;x-acs-version", "YourAccessKeySecret",
              "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f32"
              "83c0");
}

static void
acs3_client (void **state)
{
  struct header headers[] = {
    { "host", "127.0.0.1:18080" },
    { "x-acs-action", " StartDiskReplicaPair\t" },      /* trimmed */
    { "x-acs-content-sha256", EMPTY_HASH },
    { "x-acs-credentials-provider", "static_ak" },
    { "x-acs-date", "2026-11-20T23:54:17Z" },
    { "x-acs-signature-nonce",
      "4693750757e5848521834c6ae0b5389cbb707465143b492024c0f5a165eb8b84" },
    { "x-acs-version", "2021-07-30" },
    { NULL, NULL }
  };
  static const char names[] =
    "host;x-acs-action;x-acs-content-sha256;x-acs-credentials-provider;"
    "x-acs-date;x-acs-signature-nonce;x-acs-version";
  static const char want[] =
    "980a682815041935133b9092c9ae5faf32867a33c38932e1d5744838b233e730";
  struct params none = { 0 };

  (void) state;
  check_acs3 ("ReplicaPairId=ok&ClientToken=tok-1&OneShot=true"
              "&RegionId=cn-beijing", headers, names, "testsecret", want);
  /* The order does not matter, and what comes twice counts once. */
  check_acs3 ("RegionId=cn-beijing&OneShot=true&ClientToken=tok-1"
              "&ReplicaPairId=ok&OneShot=false", headers, names,
              "testsecret", want);
  assert_null (sign_acs3_request ("POST", "/", &none, "host;nosuch",
                                  find_header, headers, EMPTY_HASH));
  assert_null (sign_acs3_request ("POST", "/", &none, "host;;x-acs-date",
                                  find_header, headers, EMPTY_HASH));
}

static void
acs3_parse (void **state)
{
  struct sign_acs3 a;
  char text[4000];

  (void) state;
  assert_true (sign_acs3_parse (
    "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=host;x-acs-date,"
    "Signature=abc", &a));
  assert_string_equal (a.key_id, "testid");
  assert_string_equal (a.signed_headers, "host;x-acs-date");
  assert_string_equal (a.signature, "abc");
  assert_true (sign_acs3_parse (
    "ACS3-HMAC-SHA256 Signature=abc , Credential=x, SignedHeaders=host",
    &a));
  assert_string_equal (a.signature, "abc");
  assert_true (sign_is_signed ("a;bc;d", "bc"));
  assert_false (sign_is_signed ("a;bc;d", "b"));
  assert_false (sign_is_signed ("", "b"));
  assert_false (sign_acs3_parse ("", &a));
  assert_false (sign_acs3_parse ("ACS3-HMAC-SHA256", &a));
  assert_false (sign_acs3_parse ("ACS3-HMAC-SHA256 ", &a));
  assert_false (sign_acs3_parse ("ACS3-HMAC-SM3 Credential=a,"
                                 "SignedHeaders=b,Signature=c", &a));
  assert_false (sign_acs3_parse ("ACS3-HMAC-SHA256 Credential=,"
                                 "SignedHeaders=b,Signature=c", &a));
  snprintf (text, sizeof text, "ACS3-HMAC-SHA256 Credential=%0300d,"
            "SignedHeaders=b,Signature=c", 1);
  assert_false (sign_acs3_parse (text, &a));
  snprintf (text, sizeof text, "ACS3-HMAC-SHA256 Credential=a,"
            "SignedHeaders=b,Signature=%01000d", 1);
  assert_false (sign_acs3_parse (text, &a));
}

static void
check_rpc (const char *method, const char *params, const char *secret,
           const char *want_string, const char *want)
{
  struct params p = { 0 };
  char signature[SIGN_SIZE];
  char *text;

  add (&p, params);
  text = sign_rpc_string (method, &p);
  assert_non_null (text);
  if (want_string)
    assert_string_equal (text, want_string);
  sign_rpc (secret, text, signature);
  assert_string_equal (signature, want);
  free (text);
  params_release (&p);
}

static void
rpc (void **state)
{
  (void) state;
  check_rpc ("GET", "Action=DescribeRegions&Format=XML&AccessKeyId=testid"
             "&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"
             "&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0"
             "&Timestamp=2016-02-23T12%3A46%3A24Z&Version=2014-05-26",
             "testsecret", NULL, "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
  check_rpc ("GET", "AccessKeyId=testid&Action=StartDiskReplicaPair"
             "&ClientToken=tok-1&Format=JSON&OneShot=true"
             "&RegionId=cn-beijing&ReplicaPairId=ok"
             "&SignatureMethod=HMAC-SHA1"
             "&SignatureNonce=4b4271ac789cab6f3e9bbebb35a603f6"
             "&SignatureVersion=1.0&Timestamp=2026-11-20T23%3A54%3A18Z"
             "&Version=2021-07-30"
             "&Signature=Xcen7LbJ%2ByASHcEWXXzLiLn2tPg%3D",
             "testsecret",
             "GET&%2F&AccessKeyId%3Dtestid%26Action%3DStartDiskReplicaPair"
             "%26ClientToken%3Dtok-1%26Format%3DJSON%26OneShot%3Dtrue"
             "%26RegionId%3Dcn-beijing%26ReplicaPairId%3Dok"
             "%26SignatureMethod%3DHMAC-SHA1"
             "%26SignatureNonce%3D4b4271ac789cab6f3e9bbebb35a603f6"
             "%26SignatureVersion%3D1.0"
             "%26Timestamp%3D2026-11-20T23%253A54%253A18Z"
             "%26Version%3D2021-07-30", "Xcen7LbJ+yASHcEWXXzLiLn2tPg=");
  /* Query and form body of one request. */
  check_rpc ("POST", "Action=StartDiskReplicaPair&Format=json"
             "&Version=2021-07-30&Timestamp=2026-11-20T23%3A54%3A18Z"
             "&SignatureNonce=7b586b12001793884f476a7208b4aa2640de02527425ad"
             "2a2cc5fe3512ca6b47&SignatureMethod=HMAC-SHA1"
             "&SignatureVersion=1.0&AccessKeyId=testid"
             "&ReplicaPairId=ok&ClientToken=tok-1&OneShot=true"
             "&RegionId=cn-beijing", "testsecret", NULL,
             "fZ32L8f0GEZLlI7P/YWgIUBnUw8=");
}

static void
query (void **state)
{
  struct params p = { 0 }, none = { 0 };
  char *text;

  (void) state;
  add (&p, "b=%2A%28%29%21%27&a=x+y&a=z&%C3%A9=~-_.&empty=");
  text = sign_query (&p, "none");
  assert_string_equal (text, "a=x%20y&b=%2A%28%29%21%27&empty="
                       "&%C3%A9=~-_.");
  free (text);
  text = sign_query (&none, NULL);
  assert_string_equal (text, "");
  free (text);
  params_release (&p);
}

static void
times (void **state)
{
  static const char *const bad[] = {
    "", "2026-11-20T23:54:18", "2026-11-20 23:54:18Z", "2026-02-30T00:00:00Z",
    "2026-13-01T00:00:00Z", "2026-11-20T24:00:00Z", "2026-11-20T23:60:00Z",
    "2026-11-20T23:54:18Zx", "1969-12-31T23:59:59Z", "2026-11-20T23:54:1+Z",
    "Fri, 20 Nov 2026 23:54:18 GMT", NULL
  };
  uint64_t t;
  size_t i;

  (void) state;
  assert_true (sign_time_parse ("2026-11-20T23:54:18Z", &t));
  assert_int_equal (t, 1795218858);
  assert_true (sign_time_parse ("1970-01-01T00:00:00Z", &t));
  assert_int_equal (t, 0);
  for (i = 0; bad[i]; ++i)
    assert_false (sign_time_parse (bad[i], &t));
}

static void
base64 (void **state)
{
  char text[16];

  (void) state;
  base64_encode ("", 0, text);
  assert_string_equal (text, "");
  base64_encode ("f", 1, text);
  assert_string_equal (text, "Zg==");
  base64_encode ("fo", 2, text);
  assert_string_equal (text, "Zm8=");
  base64_encode ("\xff\xff\xfe", 3, text);
  assert_string_equal (text, "///+");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (acs3_vendor),
    cmocka_unit_test (acs3_client),
    cmocka_unit_test (acs3_parse),
    cmocka_unit_test (rpc),
    cmocka_unit_test (query),
    cmocka_unit_test (times),
    cmocka_unit_test (base64),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
