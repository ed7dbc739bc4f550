//! Any bytes as the body of a request: no panic, and a review gets its uid back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refgate::policy::review::Endpoint;

fuzz_target!(|body: &[u8]| {
    refgate_fuzz::check(body, Endpoint::Mutate);
    refgate_fuzz::check(body, Endpoint::Validate);
});
