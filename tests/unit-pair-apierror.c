/* The error table against the API reference, typed out once more. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "apierror.h"

/* In the order of the reference: the service's errors, then the gateway's.
 * An empty message is one the vendor does not publish.
 */
static const struct {
  int http;
  const char *code, *message;
} reference[] = {
  { 400, "IdempotentParameterMismatch",
    "The specified parameter has changed while using an already used "
    "clientToken." },
  { 400, "OperationDenied.StandbyDeviceAttached",
    "The secondary disk is attached." },
  { 400, "InvalidParameter",
    "The parameter %s is invalid." },
  { 400, "InvalidParameter.Conflict",
    "The specified parameter %s and %s are not blank at the same "
    "time." },
  { 400, "InvalidParameter.TagValue",
    "The parameter %s is invalid." },
  { 400, "InvalidParameter.Format",
    "Specified parameter format is not valid." },
  { 400, "MissingParameter",
    "The input parameter %s that is mandatory for processing this "
    "request is not supplied." },
  { 400, "Duplicate.TagKey",
    "The Tag.N.Key contain duplicate key." },
  { 400, "NumberExceed.ResourceIds",
    "The ResourceIds parameter number is exceed , Valid : 50" },
  { 400, "NumberExceed.Tags",
    "NumberExceed.Tags" },
  { 400, "OperationDenied.QuotaExceed",
    "The quota of tags on resource is beyond permitted range." },
  { 403, "OperationDenied",
    "The operation is not allowed." },
  { 403, "OperationDenied.InvalidStatus",
    "The operation is not allowed in current status." },
  { 403, "OperationDenied.ManualSyncLimit",
    "One shot start manual syncing too frequently, please try again "
    "later." },
  { 403, "OperationDenied.OperateNotAllowedForPrimary",
    "Operation is not allowed on the primary site." },
  { 403, "OperationDenied.OperateNotAllowedForStandby",
    "Operation is not allowed on the secondary site." },
  { 403, "OperationDenied.NoPairInGroup",
    "The operation is not allowed because no pair in the group." },
  { 403, "OperationDenied.PairNotInGroup",
    "The operation is not allowed because pair is not in any group." },
  { 403, "OperationDenied.PairInAnotherGroup",
    "The operation is not allowed because pair is already in another "
    "group." },
  { 403, "OperationDenied.PairGroupAZoneConflict",
    "The operation is not allowed due to pair and group having "
    "different RegionId or ZoneId." },
  { 403, "OperationDenied.PairGroupStatusConflict",
    "The operation is not allowed due to pair and group status are "
    "not consistent." },
  { 403, "OperationDenied.PairInitializing",
    "The operation is not allowed due to pair initializing,  please "
    "try again later." },
  { 403, "OperationDenied.PairStatusCannotAddToGroup",
    "The pair cannot be added in pair current status." },
  { 403, "OperationDenied.GroupStatusCannotAddPair",
    "The pair cannot be added in group current status." },
  { 403, "OperationDenied.PairStatusCannotRemoveFromGroup",
    "The pair cannot be removed in pair  current status." },
  { 403, "OperationDenied.GroupStatusCannotRemovePair",
    "The pair cannot be removed in group current status." },
  { 403, "OperationDenied.PairsExceedInGroup",
    "The operation is not allowed due to too much pair in the group." },
  { 403, "OperationDenied.GroupTotalDiskCapacityLimit",
    "The disk space in the replication pair-consistent group exceeds "
    "the upper limit." },
  { 403, "OperationDenied.GroupHasPair",
    "The group cannot be deleted due to not empty." },
  { 403, "OperationDenied.TooMuchEmptyGroup",
    "Operation failed because of too many empty groups." },
  { 403, "OperationDenied.QuotaExceed",
    "The operation is not allowed due to quota exceed." },
  { 403, "OperationDenied.RecoverPointNotFound",
    "Recover point is not found." },
  { 403, "OperationDenied.StartDrillShouldOnDestRegion",
    "Operation should be executed on the secondary region." },
  { 403, "LastTokenProcessing",
    "The last token request is processing." },
  { 403, "InvalidAccountStatus.NotEnoughBalance",
    "Your account does not have enough balance." },
  { 403, "NoPermission.SLR",
    "The RAM user does not have the permission to create service "
    "linked role: AliyunServiceLinkedRoleForEBS." },
  { 403, "Forbidden",
    "User is not authorized to operate." },
  { 403, "Forbidden.Action",
    "User is not authorized to operate this action." },
  { 404, "NoSuchResource",
    "The specified resource does not exist." },
  { 404, "InvalidApi.NotFound",
    "Specified api is not found, please check your url and method." },
  { 404, "InvalidResourceType.NotFound",
    "The ResourceType provided does not exist in our records." },
  { 404, "InvalidResourceId.NotFound",
    "The specified ResourceIds are not found in our records." },
  { 404, "InvalidRegionId.NotFound",
    "The specified RegionId does not exist." },
  { 404, "InvalidResourceGroup.NotFound",
    "The ResourceGroup provided does not exist in our records." },
  { 404, "MissingParameter.ResourceType",
    "The parameter - ResourceType should not be null" },
  { 404, "MissingParameter.ResourceGroup",
    "The parameter - Resource Group should not be null" },
  { 500, "InternalError",
    "The request processing has failed due to some unknown error, "
    "exception or failure." },
  { 504, "RequestTimeout",
    "The request is timeout, please try again later." },
  { 404, "InvalidAction.NotFound",
    "Specified api is not found, please check your url and method." },
  { 404, "InvalidVersion",
    "Specified parameter Version is not valid." },
  { 400, "Missing%s",
    "%s is mandatory for this action." },
  { 400, "Invalid%s",
    "Specified parameter %s is not valid." },
  { 404, "InvalidAccessKeyId.NotFound",
    "Specified access key is not found." },
  { 400, "InvalidAccessKeyId.Inactive",
    "Specified access key is disabled." },
  { 400, "SignatureDoesNotMatch",
    "Specified signature is not matched with our calculation." },
  { 400, "SignatureNonceUsed",
    "Specified signature nonce was used already." },
  { 400, "InvalidTimeStamp.Format",
    "Specified time stamp or date value is not well formatted." },
  { 400, "InvalidTimeStamp.Expired",
    "Specified time stamp or date value is expired." },
  { 400, "InvalidSignatureMethod",
    "Specified signature method is not valid." },
  { 400, "UnsupportedHTTPMethod",
    "This http method is not supported." },
  { 400, "Throttling.User",
    "Request was denied due to user flow control." },
  { 400, "Throttling.Api",
    "Request was denied due to user flow control." },
  { 400, "Throttling",
    "Request was denied due to user flow control." },
  { 503, "ServiceUnavailable",
    "" },
};

static void
the_table_is_the_reference (void **state)
{
  unsigned i;

  (void) state;
  assert_int_equal (sizeof reference / sizeof reference[0],
                    API_ERROR_COUNT - 1);
  for (i = 1; i < API_ERROR_COUNT; ++i) {
    const struct api_error_info *info = api_error_info (i);

    assert_int_equal (info->http, reference[i-1].http);
    assert_string_equal (info->code, reference[i-1].code);
    if (reference[i-1].message[0])
      assert_string_equal (info->message, reference[i-1].message);
    assert_true (info->message[0] != '\0');
  }
}

/* One line, lower case, no full stop: what a person can do next. */
static void
every_error_has_a_next_step (void **state)
{
  unsigned i;

  (void) state;
  for (i = 1; i < API_ERROR_COUNT; ++i) {
    const char *hint = api_error_info (i)->hint;

    assert_true (strlen (hint) >= 10);
    assert_null (strchr (hint, '\n'));
    assert_true (hint[strlen (hint) - 1] != '.');
    assert_true (hint[0] >= 'a' && hint[0] <= 'z');
  }
}

static void
codes_are_found (void **state)
{
  unsigned i;

  (void) state;
  for (i = 1; i < API_ERROR_COUNT; ++i) {
    enum api_error found = api_error_find (api_error_info (i)->code);

    /* One code stands twice; the first entry is found. */
    if (i == API_QUOTA_EXCEED)
      assert_int_equal (found, API_QUOTA_EXCEED_TAGS);
    else
      assert_int_equal (found, i);
  }
  assert_int_equal (api_error_find ("MissingRegionId"), API_MISSING_NAME);
  assert_int_equal (api_error_find ("InvalidRPO"), API_INVALID_NAME);
  assert_int_equal (api_error_find ("Missing"), API_OK);
  assert_int_equal (api_error_find ("Invalid"), API_OK);
  assert_int_equal (api_error_find ("OK "), API_OK);
  assert_int_equal (api_error_find (""), API_OK);
}

static void
names_are_filled_in (void **state)
{
  struct api_error_text text;
  char longer[1000];

  (void) state;
  api_error_format (API_MISSING_NAME, "RegionId", NULL, &text);
  assert_string_equal (text.code, "MissingRegionId");
  assert_string_equal (text.message, "RegionId is mandatory for this action.");
  api_error_format (API_INVALID_PARAMETER_CONFLICT, "A", "B", &text);
  assert_string_equal (text.message, "The specified parameter A and B are "
                       "not blank at the same time.");
  api_error_format (API_INVALID_PARAMETER, NULL, NULL, &text);
  assert_string_equal (text.message, "The parameter  is invalid.");
  api_error_format (API_INVALID_PARAMETER, "%s%n", NULL, &text);
  assert_string_equal (text.message, "The parameter %s%n is invalid.");
  api_error_format (API_INVALID_STATUS, "unused", "unused", &text);
  assert_string_equal (text.code, "OperationDenied.InvalidStatus");

  memset (longer, 'x', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  api_error_format (API_MISSING_NAME, longer, longer, &text);
  assert_int_equal (strlen (text.code), API_ERROR_CODE_MAX - 1);
  assert_int_equal (strlen (text.message), API_ERROR_MESSAGE_MAX - 1);
}

static void
values_out_of_range_are_internal_errors (void **state)
{
  struct api_error_text text;

  (void) state;
  assert_ptr_equal (api_error_info (API_ERROR_COUNT),
                    api_error_info (API_INTERNAL));
  api_error_format (-1, NULL, NULL, &text);
  assert_string_equal (text.code, "InternalError");
  assert_int_equal (api_error_info (API_OK)->http, 200);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (the_table_is_the_reference),
    cmocka_unit_test (every_error_has_a_next_step),
    cmocka_unit_test (codes_are_found),
    cmocka_unit_test (names_are_filled_in),
    cmocka_unit_test (values_out_of_range_are_internal_errors),
  };

  return cmocka_run_group_tests_name ("pair-apierror", tests, NULL, NULL);
}
