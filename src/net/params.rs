//! Parameters of a query or a form body, read as OAuth 2.0 reads them.

use crate::error::Error;

/// Parameters in the order in which they stand.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `application/x-www-form-urlencoded`, as browsers write it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Error> {
        // The URL type reads forms.
        let mut carrier = reqwest::Url::parse("http://localhost/")
            .map_err(|error| Error::internal("Parameters cannot be read.", error))?;
        carrier.set_query(Some(&String::from_utf8_lossy(text)));
        Ok(Self(carrier.query_pairs().into_owned().collect()))
    }

    /// Reads a JSON object; a value that is no text stands as it is written.
    pub(super) fn parse_json(text: &[u8]) -> Result<Self, Error> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(text).map_err(|_| Error::invalid_argument("Body must be a JSON object."))?;
        let pairs = object.into_iter().map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            other => (name, other.to_string()),
        });
        Ok(Self(pairs.collect()))
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
