//! What identifiers, names and passwords must look like (spec/auth-and-accounts.md sections 9 and 10). Lengths are in bytes.

use crate::{config, error::Error, identity::RESERVED_VARS, telemetry::Metrics};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

/// Bytes of a password that bcrypt looks at: more would be ignored.
const LONGEST_PASSWORD: usize = 72;

/// Session variables as a client may set them: names that begin with [`RESERVED_VARS`] are dropped and counted, since only an
/// identity token may say such things.
pub(super) fn client_vars(mut vars: BTreeMap<String, String>, metrics: &Metrics) -> BTreeMap<String, String> {
    vars.retain(|name, _| {
        let reserved = name.starts_with(RESERVED_VARS);
        if reserved {
            metrics.reserved_vars_dropped.inc();
        }
        !reserved
    });
    vars
}

/// What a client may set of session variables in number and size.
pub(super) fn vars_fit(vars: &BTreeMap<String, String>, limits: &config::Session) -> Result<(), Error> {
    let most = limits.max_vars;
    if vars.len() > most {
        return Err(Error::invalid_argument(format!("Too many session variables, at most {most} are allowed.")));
    }
    let most = limits.max_var_bytes;
    if vars.iter().any(|(name, value)| name.len() + value.len() > most) {
        let what = "Session variable too large, name and value may have at most";
        return Err(Error::invalid_argument(format!("{what} {most} bytes.")));
    }
    Ok(())
}

/// How many a page of a list may have, as asked for or else `default`.
pub(super) fn page_limit(asked: Option<i32>, default: usize, most: usize) -> Result<usize, Error> {
    let limit = asked.map_or(Some(default), |asked| usize::try_from(asked).ok());
    let limit = limit.filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| Error::invalid_argument(format!("Invalid limit - limit must be between 1 and {most}.")))
}

/// Whose attempts are counted together: an IPv4 address, however it is written, or an IPv6 network of 64 bits, which one household
/// or server holds as a whole.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        four @ IpAddr::V4(_) => four,
    }
}

/// ASCII control characters and ASCII white space; other white space is allowed.
pub(super) fn has_invalid_characters(text: &str) -> bool {
    text.bytes().any(|b| b <= b' ' || b == 0x7f)
}

fn has_control_characters(text: &str) -> bool {
    text.bytes().any(|b| b < b' ' || b == 0x7f)
}

pub(super) fn custom_id(id: &str) -> Result<(), Error> {
    if id.is_empty() {
        return Err(Error::invalid_argument("Custom ID is required."));
    }
    if has_invalid_characters(id) {
        return Err(Error::invalid_argument("Custom ID invalid, no spaces or control characters allowed."));
    }
    if !(6..=128).contains(&id.len()) {
        return Err(Error::invalid_argument("Custom ID invalid, must be 6-128 bytes."));
    }
    Ok(())
}

/// The same rule in the words of linking.
pub(super) fn custom_id_to_link(id: &str) -> Result<(), Error> {
    if id.is_empty() {
        return Err(Error::invalid_argument("Custom ID is required."));
    }
    if has_invalid_characters(id) {
        return Err(Error::invalid_argument("Invalid custom ID, no spaces or control characters allowed."));
    }
    if !(6..=128).contains(&id.len()) {
        return Err(Error::invalid_argument("Invalid custom ID, must be 6-128 bytes."));
    }
    Ok(())
}

pub(super) fn device_id(id: &str) -> Result<(), Error> {
    if id.is_empty() {
        return Err(Error::invalid_argument("Device ID is required."));
    }
    if has_invalid_characters(id) {
        return Err(Error::invalid_argument("Device ID invalid, no spaces or control characters allowed."));
    }
    if !(10..=128).contains(&id.len()) {
        return Err(Error::invalid_argument("Device ID invalid, must be 10-128 bytes."));
    }
    Ok(())
}

pub(super) fn email_characters(email: &str) -> Result<(), Error> {
    match has_invalid_characters(email) {
        true => Err(Error::invalid_argument("Invalid email address, no spaces or control characters allowed.")),
        false => Ok(()),
    }
}

/// `^.+@.+\..+$` and 10 to 255 bytes.
pub(super) fn email_shape(email: &str) -> Result<(), Error> {
    if !looks_like_email(email) {
        return Err(Error::invalid_argument("Invalid email address format."));
    }
    if !(10..=255).contains(&email.len()) {
        return Err(Error::invalid_argument("Invalid email address, must be 10-255 bytes."));
    }
    Ok(())
}

fn looks_like_email(email: &str) -> bool {
    let bytes = email.as_bytes();
    let at = bytes.iter().skip(1).position(|b| *b == b'@').map(|index| index + 1);
    // Between the @ and the dot, and after the dot, there is something.
    at.is_some_and(|at| bytes.len() > at + 3 && bytes[at + 2..bytes.len() - 1].contains(&b'.'))
}

/// Lower case letter by letter, as Go does it: `str::to_lowercase` would write some letters as two, and others by context.
pub(super) fn lower_case(email: &str) -> String {
    email.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

pub(super) fn password_long_enough(password: &str) -> Result<(), Error> {
    match password.len() < 8 {
        true => Err(Error::invalid_argument("Password must be at least 8 characters long.")),
        false => Ok(()),
    }
}

/// For passwords that are about to be stored.
pub(super) fn password_fits(password: &str) -> Result<(), Error> {
    match password.len() > LONGEST_PASSWORD {
        true => Err(Error::invalid_argument("Password must be at most 72 bytes long.")),
        false => Ok(()),
    }
}

/// A username that a client asked for while signing in; empty means that it asked for none.
pub(super) fn wanted_username(username: &str) -> Result<(), Error> {
    if has_control_characters(username) {
        return Err(username_characters());
    }
    if username.len() > 128 {
        return Err(username_length());
    }
    Ok(())
}

/// A username to change to: the length is judged first, and empty is too short.
pub(super) fn new_username(username: &str) -> Result<(), Error> {
    if !(1..=128).contains(&username.len()) {
        return Err(username_length());
    }
    if has_control_characters(username) {
        return Err(username_characters());
    }
    Ok(())
}

fn username_characters() -> Error {
    Error::invalid_argument("Username invalid, no spaces or control characters allowed.")
}

fn username_length() -> Error {
    Error::invalid_argument("Username invalid, must be 1-128 bytes.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: Result<(), Error>) -> String {
        result.map_or_else(|error| error.message().to_owned(), |()| "ok".to_owned())
    }

    #[test]
    fn neighbours_of_an_ipv6_network_count_together_and_ipv4_addresses_apart() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_ne!(of("::ffff:10.0.0.1"), of("::ffff:10.0.0.2"), "written as IPv6, too");
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }

    #[test]
    fn a_custom_id_has_6_to_128_bytes_without_ascii_spaces() {
        assert_eq!(text(custom_id("")), "Custom ID is required.");
        assert_eq!(text(custom_id("abcde")), "Custom ID invalid, must be 6-128 bytes.");
        assert_eq!(text(custom_id("ééé")), "ok");
        assert_eq!(text(custom_id(&"é".repeat(64))), "ok");
        assert_eq!(text(custom_id(&"é".repeat(65))), "Custom ID invalid, must be 6-128 bytes.");
        for odd in ["abc\u{a0}def", "abc\u{2003}def", "abc\u{200b}def", "abc\u{85}def"] {
            assert_eq!(text(custom_id(odd)), "ok", "{odd:?}");
        }
        for bad in ["abc defgh", "abcdef\x7f", "abc\0defgh", "a\tbcdefgh", "\x0b2345678"] {
            assert_eq!(text(custom_id(bad)), "Custom ID invalid, no spaces or control characters allowed.", "{bad:?}");
        }
    }

    #[test]
    fn linking_says_it_in_other_words() {
        assert_eq!(text(custom_id_to_link("abc")), "Invalid custom ID, must be 6-128 bytes.");
        assert_eq!(text(custom_id_to_link("abc defgh")), "Invalid custom ID, no spaces or control characters allowed.");
        assert_eq!(text(custom_id_to_link("")), "Custom ID is required.");
    }

    #[test]
    fn a_device_id_has_10_to_128_bytes() {
        assert_eq!(text(device_id("")), "Device ID is required.");
        assert_eq!(text(device_id("123456789")), "Device ID invalid, must be 10-128 bytes.");
        assert_eq!(text(device_id("1234567890")), "ok");
        assert_eq!(text(device_id("12345 67890")), "Device ID invalid, no spaces or control characters allowed.");
    }

    #[test]
    fn an_email_address_needs_an_at_and_a_dot_with_something_around_them() {
        for good in ["abcdef@gh.ij", "@@.@x..y123", "é@é.é56789", "a@b@c.d.ef"] {
            assert_eq!(text(email_shape(good)), "ok", "{good}");
        }
        for bad in ["abcdefgh@ijkl", "@abcdefgh.ij", "abcdefghi@.j", "abcdefghi@j.", "abcdefgh.ij", "abcdefghij@"] {
            assert_eq!(text(email_shape(bad)), "Invalid email address format.", "{bad}");
        }
        for short in ["a@b.c", "abc@de.fg"] {
            assert_eq!(text(email_shape(short)), "Invalid email address, must be 10-255 bytes.", "{short}");
        }
    }

    #[test]
    fn lower_case_goes_letter_by_letter() {
        assert_eq!(lower_case("ABC.É@İΣ.\u{212a}"), "abc.é@iσ.k");
    }

    #[test]
    fn the_order_of_the_username_rules_differs_between_signing_in_and_changing() {
        let long_with_tab = format!("{}\t", "a".repeat(129));
        assert_eq!(text(wanted_username(&long_with_tab)), username_characters().message());
        assert_eq!(text(new_username(&long_with_tab)), username_length().message());
        assert_eq!(text(wanted_username("")), "ok");
        assert_eq!(text(new_username("")), username_length().message());
        assert_eq!(text(wanted_username(" a b ")), "ok");
    }

    #[test]
    fn passwords_have_8_to_72_bytes() {
        assert_eq!(text(password_long_enough("1234567")), "Password must be at least 8 characters long.");
        assert_eq!(text(password_long_enough("éééé")), "ok");
        assert_eq!(text(password_fits(&"q".repeat(72))), "ok");
        assert_eq!(text(password_fits(&"q".repeat(73))), "Password must be at most 72 bytes long.");
    }
}
