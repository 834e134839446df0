//! The cases, by the step that they are about.

mod claims;
mod form;
mod signatures;

use super::{book::Book, corpus::Case, keys::TestKeys};

/// All cases, signed by `keys`. Of an `earlier` edition the ES256 signatures stay.
///
/// # Errors
/// Signing failed.
pub(super) fn all(keys: &TestKeys, earlier: &[Case]) -> Result<Vec<Case>, String> {
    let mut book = Book::new(keys, earlier);
    form::good(&mut book)?;
    form::segments(&mut book)?;
    form::json_traps(&mut book)?;
    form::headers(&mut book)?;
    signatures::algorithms(&mut book)?;
    signatures::key_ids(&mut book)?;
    signatures::key_choice(&mut book)?;
    signatures::broken(&mut book)?;
    claims::times(&mut book)?;
    claims::issuers(&mut book)?;
    claims::clients(&mut book)?;
    claims::kinds(&mut book)?;
    claims::subjects(&mut book)?;
    Ok(book.cases())
}
