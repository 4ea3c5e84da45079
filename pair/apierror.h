/* Errors of the API: one list of code, HTTP status, the vendor's message and
 * our own next step for a person.
 *
 * Messages are the vendor's words to the letter, double spaces and all, since
 * clients print and compare them.  "%s" in a code or message stands for a
 * parameter name: api_error_format () fills it in.  The hint goes to people
 * (pairctl, log), it is no part of the vendor's answer.
 *
 * Two entries share the code OperationDenied.QuotaExceed (tags: 400, else
 * 403), so a code alone does not name an entry.
 */

#ifndef PAIRDISK_PAIR_APIERROR_H
#define PAIRDISK_PAIR_APIERROR_H

#include <stddef.h>

/* X (name, http status, code, message, hint) */

/* What the service itself answers. */
#define API_SERVICE_ERRORS(X)                                           \
  X (IDEMPOTENT_PARAMETER_MISMATCH, 400, "IdempotentParameterMismatch", \
     "The specified parameter has changed while using an already "      \
     "used clientToken.",                                               \
     "use a new ClientToken for a different call")                      \
  X (STANDBY_DEVICE_ATTACHED, 400,                                      \
     "OperationDenied.StandbyDeviceAttached",                           \
     "The secondary disk is attached.",                                 \
     "detach the secondary disk, then start again")                     \
  X (INVALID_PARAMETER, 400, "InvalidParameter",                        \
     "The parameter %s is invalid.",                                    \
     "see the range of this parameter in the manual")                   \
  X (INVALID_PARAMETER_CONFLICT, 400, "InvalidParameter.Conflict",      \
     "The specified parameter %s and %s are not blank at the same "     \
     "time.",                                                           \
     "give only one of the two")                                        \
  X (INVALID_TAG_VALUE, 400, "InvalidParameter.TagValue",               \
     "The parameter %s is invalid.",                                    \
     "give the tag's key beside its value")                             \
  X (INVALID_PARAMETER_FORMAT, 400, "InvalidParameter.Format",          \
     "Specified parameter format is not valid.",                        \
     "see the form of this parameter in the manual")                    \
  X (MISSING_PARAMETER, 400, "MissingParameter",                        \
     "The input parameter %s that is mandatory for processing this "    \
     "request is not supplied.",                                        \
     "add the parameter")                                               \
  X (DUPLICATE_TAG_KEY, 400, "Duplicate.TagKey",                        \
     "The Tag.N.Key contain duplicate key.",                            \
     "give each tag key once")                                          \
  X (NUMBER_EXCEED_RESOURCE_IDS, 400, "NumberExceed.ResourceIds",       \
     "The ResourceIds parameter number is exceed , Valid : 50",         \
     "split the call into several")                                     \
  X (NUMBER_EXCEED_TAGS, 400, "NumberExceed.Tags",                      \
     "NumberExceed.Tags",                                               \
     "split the call into several")                                     \
  X (QUOTA_EXCEED_TAGS, 400, "OperationDenied.QuotaExceed",             \
     "The quota of tags on resource is beyond permitted range.",        \
     "remove tags first; a resource takes 20")                          \
  X (OPERATION_DENIED, 403, "OperationDenied",                          \
     "The operation is not allowed.",                                   \
     "see the reason in the log of the site that refused")              \
  X (INVALID_STATUS, 403, "OperationDenied.InvalidStatus",              \
     "The operation is not allowed in current status.",                 \
     "look at the pair's status, wait until it rests, then see "        \
     "which verb comes next")                                           \
  X (MANUAL_SYNC_LIMIT, 403, "OperationDenied.ManualSyncLimit",         \
     "One shot start manual syncing too frequently, please try "        \
     "again later.",                                                    \
     "wait until more than half the RPO has passed since the last "     \
     "one-shot start")                                                  \
  X (NOT_ALLOWED_FOR_PRIMARY, 403,                                      \
     "OperationDenied.OperateNotAllowedForPrimary",                     \
     "Operation is not allowed on the primary site.",                   \
     "call it at the secondary disk's site")                            \
  X (NOT_ALLOWED_FOR_STANDBY, 403,                                      \
     "OperationDenied.OperateNotAllowedForStandby",                     \
     "Operation is not allowed on the secondary site.",                 \
     "call it at the primary disk's site")                              \
  X (NO_PAIR_IN_GROUP, 403, "OperationDenied.NoPairInGroup",            \
     "The operation is not allowed because no pair in the group.",      \
     "add a pair to the group first")                                   \
  X (PAIR_NOT_IN_GROUP, 403, "OperationDenied.PairNotInGroup",          \
     "The operation is not allowed because pair is not in any "         \
     "group.",                                                          \
     "look at the pair's group, perhaps it was removed already")        \
  X (PAIR_IN_ANOTHER_GROUP, 403, "OperationDenied.PairInAnotherGroup",  \
     "The operation is not allowed because pair is already in "         \
     "another group.",                                                  \
     "remove the pair from its group first")                            \
  X (PAIR_GROUP_AZONE_CONFLICT, 403,                                    \
     "OperationDenied.PairGroupAZoneConflict",                          \
     "The operation is not allowed due to pair and group having "       \
     "different RegionId or ZoneId.",                                   \
     "use a group of the same direction and zones")                     \
  X (PAIR_GROUP_STATUS_CONFLICT, 403,                                   \
     "OperationDenied.PairGroupStatusConflict",                         \
     "The operation is not allowed due to pair and group status "       \
     "are not consistent.",                                             \
     "bring pair and group to the same status, for example stop "       \
     "both")                                                            \
  X (PAIR_INITIALIZING, 403, "OperationDenied.PairInitializing",        \
     "The operation is not allowed due to pair initializing,  "         \
     "please try again later.",                                         \
     "wait until the pair is created")                                  \
  X (PAIR_STATUS_CANNOT_ADD, 403,                                       \
     "OperationDenied.PairStatusCannotAddToGroup",                      \
     "The pair cannot be added in pair current status.",                \
     "stop the pair first")                                             \
  X (GROUP_STATUS_CANNOT_ADD, 403,                                      \
     "OperationDenied.GroupStatusCannotAddPair",                        \
     "The pair cannot be added in group current status.",               \
     "stop the group first")                                            \
  X (PAIR_STATUS_CANNOT_REMOVE, 403,                                    \
     "OperationDenied.PairStatusCannotRemoveFromGroup",                 \
     "The pair cannot be removed in pair  current status.",             \
     "stop the group first")                                            \
  X (GROUP_STATUS_CANNOT_REMOVE, 403,                                   \
     "OperationDenied.GroupStatusCannotRemovePair",                     \
     "The pair cannot be removed in group current status.",             \
     "stop the group first")                                            \
  X (PAIRS_EXCEED_IN_GROUP, 403, "OperationDenied.PairsExceedInGroup",  \
     "The operation is not allowed due to too much pair in the "        \
     "group.",                                                          \
     "a group takes 17 pairs; use another group")                       \
  X (GROUP_CAPACITY_LIMIT, 403,                                         \
     "OperationDenied.GroupTotalDiskCapacityLimit",                     \
     "The disk space in the replication pair-consistent group "         \
     "exceeds the upper limit.",                                        \
     "use another group")                                               \
  X (GROUP_HAS_PAIR, 403, "OperationDenied.GroupHasPair",               \
     "The group cannot be deleted due to not empty.",                   \
     "remove its pairs first")                                          \
  X (TOO_MUCH_EMPTY_GROUP, 403, "OperationDenied.TooMuchEmptyGroup",    \
     "Operation failed because of too many empty groups.",              \
     "delete empty groups first")                                       \
  X (QUOTA_EXCEED, 403, "OperationDenied.QuotaExceed",                  \
     "The operation is not allowed due to quota exceed.",               \
     "delete pairs or groups that are no longer needed")                \
  X (RECOVER_POINT_NOT_FOUND, 403,                                      \
     "OperationDenied.RecoverPointNotFound",                            \
     "Recover point is not found.",                                     \
     "wait until the first synchronization is complete")                \
  X (DRILL_SHOULD_ON_DEST_REGION, 403,                                  \
     "OperationDenied.StartDrillShouldOnDestRegion",                    \
     "Operation should be executed on the secondary region.",           \
     "call it at the secondary disk's site")                            \
  X (LAST_TOKEN_PROCESSING, 403, "LastTokenProcessing",                 \
     "The last token request is processing.",                           \
     "wait for the answer of the first call")                           \
  X (NOT_ENOUGH_BALANCE, 403, "InvalidAccountStatus.NotEnoughBalance",  \
     "Your account does not have enough balance.",                      \
     "top the account up")                                              \
  X (NO_PERMISSION_SLR, 403, "NoPermission.SLR",                        \
     "The RAM user does not have the permission to create service "     \
     "linked role: AliyunServiceLinkedRoleForEBS.",                     \
     "ask the account's owner for the permission")                      \
  X (FORBIDDEN, 403, "Forbidden",                                       \
     "User is not authorized to operate.",                              \
     "use an access key that is allowed to do this")                    \
  X (FORBIDDEN_ACTION, 403, "Forbidden.Action",                         \
     "User is not authorized to operate this action.",                  \
     "use an access key that is allowed to do this")                    \
  X (NO_SUCH_RESOURCE, 404, "NoSuchResource",                           \
     "The specified resource does not exist.",                          \
     "check the id and the region of the call")                         \
  X (NO_SUCH_API, 404, "InvalidApi.NotFound",                           \
     "Specified api is not found, please check your url and "           \
     "method.",                                                         \
     "check the spelling of Action")                                    \
  X (RESOURCE_TYPE_NOT_FOUND, 404, "InvalidResourceType.NotFound",      \
     "The ResourceType provided does not exist in our records.",        \
     "use diskreplicapair or diskreplicagroup")                         \
  X (RESOURCE_ID_NOT_FOUND, 404, "InvalidResourceId.NotFound",          \
     "The specified ResourceIds are not found in our records.",         \
     "check the ids and the region of the call")                        \
  X (REGION_ID_NOT_FOUND, 404, "InvalidRegionId.NotFound",              \
     "The specified RegionId does not exist.",                          \
     "see DescribeRegions for the regions of this site")                \
  X (RESOURCE_GROUP_NOT_FOUND, 404, "InvalidResourceGroup.NotFound",    \
     "The ResourceGroup provided does not exist in our records.",       \
     "check the id of the resource group")                              \
  X (MISSING_RESOURCE_TYPE, 404, "MissingParameter.ResourceType",       \
     "The parameter - ResourceType should not be null",                 \
     "add ResourceType")                                                \
  X (MISSING_RESOURCE_GROUP, 404, "MissingParameter.ResourceGroup",     \
     "The parameter - Resource Group should not be null",               \
     "add NewResourceGroupId")                                          \
  X (INTERNAL, 500, "InternalError",                                    \
     "The request processing has failed due to some unknown error, "    \
     "exception or failure.",                                           \
     "look at the agent's log; the same call may be made again")        \
  X (REQUEST_TIMEOUT, 504, "RequestTimeout",                            \
     "The request is timeout, please try again later.",                 \
     "the same call may be made again with the same ClientToken")

/* What is answered before the action is looked at. */
#define API_GATEWAY_ERRORS(X)                                           \
  X (OLD_NO_SUCH_ACTION, 404, "InvalidAction.NotFound",                 \
     "Specified api is not found, please check your url and "           \
     "method.",                                                         \
     "check the spelling of Action")                                    \
  X (INVALID_VERSION, 404, "InvalidVersion",                            \
     "Specified parameter Version is not valid.",                       \
     "use Version 2021-07-30")                                          \
  X (MISSING_NAME, 400, "Missing%s",                                    \
     "%s is mandatory for this action.",                                \
     "add the parameter")                                               \
  X (INVALID_NAME, 400, "Invalid%s",                                    \
     "Specified parameter %s is not valid.",                            \
     "see the form of this parameter in the manual")                    \
  X (ACCESS_KEY_NOT_FOUND, 404, "InvalidAccessKeyId.NotFound",          \
     "Specified access key is not found.",                              \
     "check the access key of this site")                               \
  X (ACCESS_KEY_INACTIVE, 400, "InvalidAccessKeyId.Inactive",           \
     "Specified access key is disabled.",                               \
     "enable the access key or use another")                            \
  X (SIGNATURE_DOES_NOT_MATCH, 400, "SignatureDoesNotMatch",            \
     "Specified signature is not matched with our calculation.",        \
     "check the secret of the access key")                              \
  X (SIGNATURE_NONCE_USED, 400, "SignatureNonceUsed",                   \
     "Specified signature nonce was used already.",                     \
     "use a new nonce for every request, also for a retry")             \
  X (TIMESTAMP_FORMAT, 400, "InvalidTimeStamp.Format",                  \
     "Specified time stamp or date value is not well formatted.",       \
     "use the form 2026-01-31T23:59:59Z")                               \
  X (TIMESTAMP_EXPIRED, 400, "InvalidTimeStamp.Expired",                \
     "Specified time stamp or date value is expired.",                  \
     "set the clocks of client and site; they may differ by 15 "        \
     "minutes")                                                         \
  X (INVALID_SIGNATURE_METHOD, 400, "InvalidSignatureMethod",           \
     "Specified signature method is not valid.",                        \
     "use ACS3-HMAC-SHA256 or HMAC-SHA1")                               \
  X (UNSUPPORTED_HTTP_METHOD, 400, "UnsupportedHTTPMethod",             \
     "This http method is not supported.",                              \
     "use GET or POST")                                                 \
  X (THROTTLING_USER, 400, "Throttling.User",                           \
     "Request was denied due to user flow control.",                    \
     "make fewer calls a second")                                       \
  X (THROTTLING_API, 400, "Throttling.Api",                             \
     "Request was denied due to user flow control.",                    \
     "make fewer calls a second")                                       \
  X (THROTTLING, 400, "Throttling",                                     \
     "Request was denied due to user flow control.",                    \
     "make fewer calls a second")                                       \
  X (SERVICE_UNAVAILABLE, 503, "ServiceUnavailable",                    \
     "The request has failed due to a temporary failure of the "        \
     "server.",                                                         \
     "the same call may be made again")

#define API_ERRORS(X) API_SERVICE_ERRORS (X) API_GATEWAY_ERRORS (X)

enum api_error {
  API_OK = 0,
#define X(name, http, code, message, hint) API_##name,
  API_ERRORS (X)
#undef X
  API_ERROR_COUNT
};

struct api_error_info {
  int http;
  const char *code;             /* may hold one "%s" */
  const char *message;          /* may hold up to two "%s" */
  const char *hint;
};

/* API_OK is 200 "OK"; a value out of range is answered as InternalError. */
extern const struct api_error_info *api_error_info (enum api_error error);

/* The first entry with this code, or API_OK.  "Missing..." and "Invalid..."
 * of a parameter are found when no entry has the whole code.
 */
extern enum api_error api_error_find (const char *code);

#define API_ERROR_CODE_MAX 128
#define API_ERROR_MESSAGE_MAX 256

struct api_error_text {
  char code[API_ERROR_CODE_MAX];
  char message[API_ERROR_MESSAGE_MAX];
};

/* Code and message with the parameter names in place.  NAME1 and NAME2 may
 * be NULL when the entry has no "%s"; long names are cut.
 */
extern void api_error_format (enum api_error error, const char *name1,
                              const char *name2, struct api_error_text *ret);

#endif /* PAIRDISK_PAIR_APIERROR_H */
