# The cloud's old client library takes a pair through its life.

source "${0%/*}/sdk-functions.sh"
sdk_test @alicloud/pop-core@1 get post
