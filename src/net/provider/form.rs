//! Parameters of a query or a form body, read as OAuth 2.0 reads them.

use crate::error::Error;

/// Parameters in the order in which they stand.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`, as browsers write it.
    pub(super) fn parse(form: &[u8]) -> Result<Self, Error> {
        // The URL type reads forms.
        let mut carrier =
            reqwest::Url::parse("http://localhost/").map_err(|error| Error::internal("No form.", error))?;
        carrier.set_query(Some(&String::from_utf8_lossy(form)));
        Ok(Self(carrier.query_pairs().into_owned().collect()))
    }

    /// Every parameter.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A parameter's value; one without a value counts as left out (RFC 6749 section 3.1).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(own, value)| *own == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// Whether a parameter stands there twice, which RFC 6749 section 3.1 forbids.
    pub(super) fn repeats(&self) -> bool {
        self.0.iter().enumerate().any(|(index, (name, _))| self.0[..index].iter().any(|(other, _)| other == name))
    }
}
