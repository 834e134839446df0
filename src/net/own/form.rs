//! Form bodies of OAuth endpoints (RFC 6749 section 3.2): each parameter once at most, and an empty one is as good as none.

use crate::net::{form, query::Query};
use hyper::HeaderMap;

/// The parameters of a form.
pub(super) struct Form<'a>(Query<'a>);

impl<'a> Form<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// It is no form, or a malformed one.
    pub(super) fn read(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, &'static str> {
        if !form::is_form(headers).unwrap_or(false) {
            return Err("The body must be application/x-www-form-urlencoded.");
        }
        Query::parse(body).map(Self).map_err(|_| "The form is malformed.")
    }

    /// The value of a parameter, if there is one.
    ///
    /// # Errors
    /// It is there more than once, or is no UTF-8.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, &'static str> {
        let mut values = self.0.iter().filter(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value);
        let first = values.next();
        if values.next().is_some() {
            return Err("A parameter is there more than once.");
        }
        let text = first.map(std::str::from_utf8).transpose().map_err(|_| "A parameter is no UTF-8.")?;
        Ok(text.filter(|text| !text.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{CONTENT_TYPE, HeaderValue};

    #[test]
    fn a_parameter_is_there_once_or_not_at_all() {
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))]);
        let form = Form::read(&headers, b"a=1&b=x%20y&c=&d=1&d=2&e=%ff").unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!((form.one("a"), form.one("b")), (Ok(Some("1")), Ok(Some("x y"))));
        assert_eq!((form.one("c"), form.one("z")), (Ok(None), Ok(None)));
        assert!(form.one("d").is_err() && form.one("e").is_err());
        assert!(Form::read(&headers, b"a=%zz").is_err() && Form::read(&HeaderMap::new(), b"a=1").is_err());
    }
}
