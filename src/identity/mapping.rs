//! From verified claims to what a session keeps of them: variables, tenant, username. Only what the entry names is taken, with the
//! type that it names; whatever is otherwise refuses the token. An entry that maps nothing costs nothing.

use super::{RESERVED_VARS, refusal::Reason, username::clean_username};
use crate::config::{ClaimPath, OMITTED, Overflow, TENANT_BYTES, TenantRule, TrustEntry, VarRule, VarType};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Number, Value};
use std::{borrow::Cow, collections::BTreeMap};

/// What an entry makes of claims.
pub(super) struct Mapping {
    vars: Vec<Var>,
    tenant: TenantRule,
    username: Vec<ClaimPath>,
    max_bytes: usize,
    /// Changes with the mapping; never 0, which stands for none.
    pub(super) version: u32,
}

struct Var {
    name: String,
    rule: VarRule,
}

/// What came out of the claims of one token.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) vars: BTreeMap<String, String>,
    pub(super) tenant: Option<String>,
    pub(super) username: Option<String>,
}

/// A rule that was broken, and by what: a variable's name or `tenant`, never a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault<'m> {
    pub(super) reason: Reason,
    pub(super) what: &'m str,
}

impl Mapping {
    /// The mapping of an entry, or `None` where it maps nothing. `max_bytes` bounds all variables together.
    pub(super) fn new(entry: &TrustEntry, max_bytes: usize) -> Option<Self> {
        if entry.vars.is_empty() && entry.tenant.is_none() && entry.username.is_empty() {
            return None;
        }
        let named =
            |(name, rule): (&String, &VarRule)| Var { name: format!("{RESERVED_VARS}{name}"), rule: rule.clone() };
        Some(Self {
            vars: entry.vars.iter().map(named).collect(),
            tenant: entry.tenant.clone(),
            username: entry.username.clone(),
            max_bytes,
            version: version(entry),
        })
    }

    /// What it makes of `claims`, or the first rule that they break.
    pub(super) fn apply(&self, claims: &Map<String, Value>) -> Result<Mapped, Fault<'_>> {
        let tenant = self.tenant_of(claims).map_err(|reason| Fault { reason, what: "tenant" })?;
        let mut vars = BTreeMap::new();
        for var in &self.vars {
            let made = var.value(claims).map_err(|reason| Fault { reason, what: &var.name })?;
            vars.extend(made);
        }
        if vars.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > self.max_bytes {
            return Err(Fault { reason: Reason::VarsTooLong, what: "vars" });
        }
        let username = first(&self.username, claims).and_then(Value::as_str).and_then(clean_username);
        Ok(Mapped { vars, tenant, username })
    }

    fn tenant_of(&self, claims: &Map<String, Value>) -> Result<Option<String>, Reason> {
        if self.tenant.is_none() {
            return Ok(None);
        }
        if !self.tenant.value.is_empty() {
            return Ok(Some(self.tenant.value.clone()));
        }
        let tenant = first(&self.tenant.claims, claims).and_then(Value::as_str).ok_or(Reason::Tenant)?;
        let named = TENANT_BYTES.contains(&tenant.len()) && !tenant.chars().any(super::claims::is_unprintable);
        let believed = self.tenant.any_of.is_empty() || self.tenant.any_of.iter().any(|one| one == tenant);
        if named && believed { Ok(Some(tenant.to_owned())) } else { Err(Reason::Tenant) }
    }
}

impl Var {
    /// The variable with its value, the one that says that it was left out, or neither.
    fn value(&self, claims: &Map<String, Value>) -> Result<Option<(String, String)>, Reason> {
        let rule = &self.rule;
        let found = first(&rule.claims, claims).map(|value| rule.text(value)).transpose()?.flatten();
        let Some(text) = found else {
            return if rule.required { Err(Reason::ClaimMissing) } else { Ok(None) };
        };
        if text.len() <= rule.max_bytes {
            return Ok(Some((self.name.clone(), text.into_owned())));
        }
        match rule.overflow {
            Overflow::Refuse => Err(Reason::VarTooLong),
            Overflow::Omit => Ok(Some((format!("{}{OMITTED}", self.name), "true".to_owned()))),
        }
    }
}

impl VarRule {
    /// The claim as text; `None` for a list without members that count.
    fn text<'v>(&self, value: &'v Value) -> Result<Option<Cow<'v, str>>, Reason> {
        match self.r#type {
            VarType::List => return self.joined(&members(value)?, ","),
            VarType::Scope => return self.joined(&words(value)?, " "),
            VarType::String | VarType::Number | VarType::Bool => {}
        }
        let text = scalar(self.r#type, value).ok_or(Reason::ClaimType)?;
        let allowed = self.any_of.is_empty() || self.any_of.iter().any(|one| *one == text);
        if allowed { Ok(Some(text)) } else { Err(Reason::ClaimValue) }
    }

    fn joined<'v>(&self, members: &[&'v str], separator: &str) -> Result<Option<Cow<'v, str>>, Reason> {
        let odd =
            |member: &&str| member.is_empty() || member.contains(separator) || member.chars().any(char::is_control);
        if members.iter().any(odd) {
            return Err(Reason::ClaimType);
        }
        if members.is_empty() {
            return Ok(None);
        }
        let is_in = |list: &[String], member: &str| list.iter().any(|one| one == member);
        if !self.any_of.is_empty() && !members.iter().any(|member| is_in(&self.any_of, member)) {
            return Err(Reason::ClaimValue);
        }
        let kept: Vec<_> =
            members.iter().copied().filter(|member| self.keep.is_empty() || is_in(&self.keep, member)).collect();
        Ok((!kept.is_empty()).then(|| kept.join(separator).into()))
    }
}

fn scalar(kind: VarType, value: &Value) -> Option<Cow<'_, str>> {
    match (kind, value) {
        (VarType::String, Value::String(text)) => (!text.chars().any(char::is_control)).then(|| text.into()),
        (VarType::Number, Value::Number(number)) => Some(number.to_string().into()),
        (VarType::Number, Value::String(text)) => is_number(text).then(|| text.into()),
        (VarType::Bool, Value::Bool(yes)) => Some(if *yes { "true" } else { "false" }.into()),
        (VarType::Bool, Value::String(text)) => ["true", "false"].contains(&text.as_str()).then(|| text.into()),
        _ => None,
    }
}

/// Exactly a JSON number, as far as it can be held.
fn is_number(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace()) && serde_json::from_str::<Number>(text).is_ok()
}

fn members(value: &Value) -> Result<Vec<&str>, Reason> {
    let list = value.as_array().ok_or(Reason::ClaimType)?;
    list.iter().map(|member| member.as_str().ok_or(Reason::ClaimType)).collect()
}

fn words(value: &Value) -> Result<Vec<&str>, Reason> {
    match value {
        Value::String(text) => Ok(text.split(' ').filter(|word| !word.is_empty()).collect()),
        _ => members(value),
    }
}

/// The first of `candidates` that is there.
pub(super) fn first<'c>(candidates: &[ClaimPath], claims: &'c Map<String, Value>) -> Option<&'c Value> {
    candidates.iter().find_map(|path| find(path, claims))
}

/// The claim at `path`, unless it is `null`.
pub(super) fn find<'c>(path: &ClaimPath, claims: &'c Map<String, Value>) -> Option<&'c Value> {
    let (outermost, inner) = path.steps().split_first()?;
    let mut value = claims.get(outermost)?;
    for step in inner {
        value = value.as_object()?.get(step)?;
    }
    (!value.is_null()).then_some(value)
}

/// 32 bits of SHA-256 over the mapping as it is configured: nobody has to think of counting it up.
fn version(entry: &TrustEntry) -> u32 {
    let written = serde_json::to_vec(&(&entry.vars, &entry.tenant, &entry.username)).unwrap_or_default();
    let first =
        digest(&SHA256, &written).as_ref().iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte));
    first.max(1)
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
