//! What becomes of claims: session variables, tenant, username. The words of the configuration and their bounds; the work is
//! done in `identity`.

use super::{load::ConfigError, trust::TrustEntry};
use serde::{Deserialize, Serialize};

/// Most variables that one entry may make.
const MAX_VARS: usize = 32;
/// Longest name of a variable, before the prefix, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Longest value that a variable may be allowed, in bytes.
const MAX_VALUE_BYTES: usize = 4_096;
/// Most claims of one list of candidates, and most steps of one path.
const MAX_CANDIDATES: usize = 16;
/// Bytes that a tenant's name may have.
pub const TENANT_BYTES: std::ops::RangeInclusive<usize> = 1..=128;
/// How the name of the variable ends that says that another was left out.
pub const OMITTED: &str = "_omitted";

/// Where a claim stands: a name is a claim of the token itself, byte by byte, whatever dots, colons or slashes are in it; a list
/// is a path into objects, a member's name at each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClaimPath {
    /// A claim of the token itself.
    Name(String),
    /// A member of a member.
    Path(Vec<String>),
}

impl ClaimPath {
    /// Its steps, from the outside in.
    pub fn steps(&self) -> &[String] {
        match self {
            Self::Name(name) => std::slice::from_ref(name),
            Self::Path(steps) => steps,
        }
    }
}

impl From<&str> for ClaimPath {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

/// How one session variable is made of claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VarRule {
    /// Where to look; the first that is there counts, `null` is not there.
    pub claims: Vec<ClaimPath>,
    /// What the claim must be. Another type refuses the token, also where the variable is not required.
    pub r#type: VarType,
    /// Whether a token without it is refused.
    pub required: bool,
    /// The values that it may have; of lists, values of which one must be in it. Empty: any.
    pub any_of: Vec<String>,
    /// The members that are taken from a list; others are left out. Empty: all.
    pub keep: Vec<String>,
    /// Longest value in bytes.
    pub max_bytes: usize,
    /// What happens to a longer one.
    pub overflow: Overflow,
}

impl Default for VarRule {
    fn default() -> Self {
        Self {
            claims: Vec::new(),
            r#type: VarType::String,
            required: false,
            any_of: Vec::new(),
            keep: Vec::new(),
            max_bytes: 256,
            overflow: Overflow::Refuse,
        }
    }
}

/// The type of a mapped claim, and so how its value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarType {
    /// A text without control characters.
    #[default]
    String,
    /// A number, or a text that is one: some providers write every attribute as text.
    Number,
    /// `true` or `false`, or one of these as text.
    Bool,
    /// A list of texts, joined by `,`. A member with a comma in it refuses the token: it could be taken for two.
    List,
    /// Words with spaces between them (RFC 6749 section 3.3), or a list of such words; joined by one space.
    Scope,
}

/// What happens to a value that is longer than it may be. It is never cut: part of a list is another authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The token is refused.
    #[default]
    Refuse,
    /// The variable is left out as a whole, and another, named as it is with `_omitted` behind, is `true`.
    Omit,
}

/// Where a player's tenant comes from: claims or a fixed value, not both; neither: no tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantRule {
    /// Where to look; the first that is there counts. It must be one text of 1 to 128 bytes.
    pub claims: Vec<ClaimPath>,
    /// The tenant of every player of the entry.
    pub value: String,
    /// The tenants that are believed. Empty: all.
    pub any_of: Vec<String>,
}

impl TenantRule {
    /// Whether the entry says nothing of tenants.
    pub fn is_none(&self) -> bool {
        self.claims.is_empty() && self.value.is_empty()
    }
}

/// Judges what an entry, preset written out, makes of claims. Answers the key that is wrong and what is allowed.
pub(super) fn judge_mapping(entry: &TrustEntry) -> Result<(), (String, &'static str)> {
    judge_candidates(&entry.subject, "subject")?;
    hold(!entry.subject.is_empty(), "subject", "at least one claim")?;
    judge_candidates(&entry.username, "username")?;
    hold(entry.vars.len() <= MAX_VARS, "vars", "at most 32 variables")?;
    for (name, rule) in &entry.vars {
        judge_var(name, rule)?;
    }
    judge_tenant(&entry.tenant)
}

fn judge_var(name: &str, rule: &VarRule) -> Result<(), (String, &'static str)> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let named = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain) && !name.ends_with(OMITTED);
    hold(named, "vars", "names of 1 to 64 letters, digits, -, _ and ., that do not end in _omitted")?;
    // A client that sends its variables back at a refresh would present this one as its identity.
    hold(
        name != "token",
        "vars",
        "another name than \"token\": idp.token is what a refresh presents an identity token in",
    )?;
    let key = format!("vars.{name}");
    judge_candidates(&rule.claims, &format!("{key}.claims"))?;
    hold(!rule.claims.is_empty(), &format!("{key}.claims"), "at least one claim")?;
    hold((1..=MAX_VALUE_BYTES).contains(&rule.max_bytes), &format!("{key}.max_bytes"), "1 to 4096")?;
    let of_lists = matches!(rule.r#type, VarType::List | VarType::Scope);
    hold(rule.keep.is_empty() || of_lists, &format!("{key}.keep"), "empty, unless the type is \"list\" or \"scope\"")
}

fn judge_tenant(rule: &TenantRule) -> Result<(), (String, &'static str)> {
    judge_candidates(&rule.claims, "tenant.claims")?;
    hold(rule.claims.is_empty() || rule.value.is_empty(), "tenant", "either `claims` or `value`")?;
    hold(rule.any_of.is_empty() || !rule.claims.is_empty(), "tenant.any_of", "empty without `claims`")?;
    let texts = rule.any_of.iter().chain(Some(&rule.value).filter(|value| !value.is_empty()));
    let printable = |text: &String| TENANT_BYTES.contains(&text.len()) && !text.chars().any(char::is_control);
    hold(texts.into_iter().all(printable), "tenant", "names of 1 to 128 bytes without control characters")
}

fn judge_candidates(claims: &[ClaimPath], key: &str) -> Result<(), (String, &'static str)> {
    let sound = |path: &ClaimPath| {
        (1..=MAX_CANDIDATES).contains(&path.steps().len()) && path.steps().iter().all(|step| !step.is_empty())
    };
    hold(
        claims.len() <= MAX_CANDIDATES && claims.iter().all(sound),
        key,
        "at most 16 claims, each a name, or a list of 1 to 16 names that is a path",
    )
}

fn hold(holds: bool, key: &str, allowed: &'static str) -> Result<(), (String, &'static str)> {
    if holds { Ok(()) } else { Err((key.to_owned(), allowed)) }
}

/// A fault of entry `index` as a fault of the configuration.
pub(super) fn at_entry(index: usize, (key, allowed): (String, &'static str)) -> ConfigError {
    ConfigError::new(format!("identity.trust[{index}].{key}"), format!("allowed is {allowed}"))
}
