//! The bridge against every attack of the list, and every case that a verifier must survive. Each test signs its own tokens.
//! The rows are numbered as in the attack list of the design; those about later features show that the door is not there.

mod attacks;
mod cases;
mod claims_to_session;
mod key_sets;
mod key_sets_over_http;
mod presets;
mod provider;
mod sizes;
mod support;
