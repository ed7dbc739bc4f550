//! The sync as a whole, before an API server in this process and a file of secrets: what happens to Secrets when the
//! manager, the API server, the leaders, the clocks or the tenants are at their worst.

mod bed;
mod clocks;
mod evictions;
mod leaders;
mod leak;
mod objects;
mod once;
mod outage;
mod refusals;
mod rights;
mod server;
mod tenants;
mod traps;
