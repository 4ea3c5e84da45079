# The cloud's current client library takes a pair through its life.

source "${0%/*}/sdk-functions.sh"
sdk_test @alicloud/openapi-core@1 acs3 acs3-body v2 v2-body
