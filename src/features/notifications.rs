//! In-app notifications: kept for later, shown at once, or both (spec/chat-and-notifications.md part B). A program that embeds the
//! server sends its own with [`send`] and [`send_to_all`]; other features store theirs with what causes them, and [`deliver`] them.

use super::{Caller, Services, rules, tenancy, users};
use crate::{
    error::Error,
    identity::Tenant,
    store::{self, NewNotification, StoreError, jsonb},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kizuna_protocol::{api, code::NotificationCode, id::parse_uuid};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a program tells a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What it is about, in words: 1 to 255 characters.
    pub subject: String,
    /// Its details: a JSON object as text.
    pub content: String,
    /// What kind it is: 1 to 32767, or -2000 to -1000 but for -1001, which is the server's.
    pub code: i32,
    /// Who causes it; `None`: the server.
    pub sender_id: Option<Uuid>,
    /// Whether it is kept until it is deleted. Otherwise it only reaches sockets that are open now.
    pub persistent: bool,
}

/// Accounts that are told in one transaction by [`send_to_all`]: sign-ins wait no longer than that takes.
const PAGE: usize = 256;
/// Before every notification.
const BEGINNING: (i64, Uuid) = (i64::MIN, Uuid::nil());

/// Tells users. What is to be kept is on disk before anybody is told; who is not there is passed over. All that is for one user
/// comes in one envelope.
///
/// # Errors
/// 400 for a subject, a content or a code that does not fit; 500 or 503 when it could not be stored: then nobody was told.
pub async fn send(services: &Services, all: Vec<(Uuid, Notification)>) -> Result<(), Error> {
    all.iter().try_for_each(|(_, notification)| judge(notification))?;
    let (mut kept, mut live) = (Vec::new(), Vec::new());
    for (user_id, notification) in all {
        let content = content_of(&notification)?;
        let is_kept = notification.persistent;
        let new = new_notification(services, user_id, notification, content);
        if is_kept { kept.push(new) } else { live.push(new) }
    }
    let kept = match kept.is_empty() {
        true => Vec::new(),
        false => {
            let stored = services.store.put_notifications(kept).await;
            stored.map_err(|error| error.into_error("Error saving notifications."))?
        }
    };
    let create_time = services.clock.unix_micros();
    let live = live.into_iter().map(|new| (store::Notification { new, create_time }, false));
    show(services, kept.into_iter().map(|kept| (kept, true)).chain(live));
    Ok(())
}

/// Tells everybody of `tenant` ([`Tenant::NONE`] without tenancy). What is not to be kept reaches all open sockets at once. What is
/// kept is written for one account after the other, and takes as long as they are many: run it in a task of its own. Answers for how
/// many it was kept.
///
/// # Errors
/// As [`send`], but that some may have been told already when it could not be stored for others; and 400 for no tenant where there
/// are tenants.
pub async fn send_to_all(services: &Services, tenant: Tenant, notification: Notification) -> Result<usize, Error> {
    judge(&notification)?;
    if services.config.tenancy.enabled && tenant == Tenant::NONE {
        return Err(Error::invalid_argument("With tenants, a notification to all names one of them."));
    }
    if !notification.persistent {
        let content = content_of(&notification)?;
        let new = new_notification(services, Uuid::nil(), notification, content);
        let live = store::Notification { new, create_time: services.clock.unix_micros() };
        services.realtime.notify_all(tenant, vec![to_live(live, false)]).await;
        return Ok(0);
    }
    let (mut told, mut after) = (0, Uuid::nil());
    loop {
        let failed = |error: StoreError| error.into_error("Error saving notifications.");
        let page = services.store.user_ids_after(after, PAGE).map_err(failed)?;
        let Some(last) = page.last() else { return Ok(told) };
        after = *last;
        let mut new = Vec::with_capacity(page.len());
        for user_id in page {
            if tenancy::is_visible(services, tenant, user_id)? {
                let content = content_of(&notification)?;
                new.push(new_notification(services, user_id, notification.clone(), content));
            }
        }
        let stored = services.store.put_notifications(new).await.map_err(failed)?;
        told += stored.len();
        deliver(services, stored);
    }
}

/// Shows what a transaction has kept to whoever is there to see it. Never waits.
pub(super) fn deliver(services: &Services, stored: Vec<store::Notification>) {
    show(services, stored.into_iter().map(|stored| (stored, true)));
}

fn show(services: &Services, all: impl Iterator<Item = (store::Notification, bool)>) {
    let mut by_user: BTreeMap<Uuid, Vec<api::Notification>> = BTreeMap::new();
    for (notification, persistent) in all {
        by_user.entry(notification.new.user_id).or_default().push(to_live(notification, persistent));
    }
    for (user_id, notifications) in by_user {
        services.realtime.notify(user_id, notifications);
    }
}

fn judge(notification: &Notification) -> Result<(), Error> {
    if notification.subject.is_empty() || notification.subject.chars().count() > 255 {
        return Err(Error::invalid_argument("Notification subject must be 1 to 255 characters."));
    }
    if notification.subject.contains('\0') {
        return Err(Error::invalid_argument("Notification subject must not contain NUL characters."));
    }
    if !NotificationCode::is_free(notification.code) {
        let what = "Notification code must be 1 to 32767, or -2000 to -1000 and not the server's own.";
        return Err(Error::invalid_argument(what));
    }
    Ok(())
}

fn content_of(notification: &Notification) -> Result<String, Error> {
    let refused = || Error::invalid_argument("Notification content must be a JSON object.");
    let content = jsonb::normalised(&notification.content).map_err(|_| refused())?;
    if content.starts_with('{') { Ok(content) } else { Err(refused()) }
}

fn new_notification(
    services: &Services,
    user_id: Uuid,
    notification: Notification,
    content: String,
) -> NewNotification {
    let Notification { subject, code, sender_id, .. } = notification;
    let id = services.entropy.uuid();
    NewNotification { id, user_id, subject, content, code, sender_id: sender_id.unwrap_or_default() }
}

/// As sockets get it: Nakama names the sender even if that is nobody, and writes the content without spaces.
fn to_live(notification: store::Notification, persistent: bool) -> api::Notification {
    let sender_id = notification.new.sender_id.to_string();
    // What was written as JSON a moment ago is still JSON.
    let content = jsonb::compact(&notification.new.content).unwrap_or_default();
    api::Notification { sender_id, content, persistent, ..to_listed(notification) }
}

fn to_listed(notification: store::Notification) -> api::Notification {
    let store::Notification { new, create_time } = notification;
    api::Notification {
        id: new.id.to_string(),
        subject: new.subject,
        content: new.content,
        code: new.code,
        sender_id: if new.sender_id.is_nil() { String::new() } else { new.sender_id.to_string() },
        create_time: Some(users::timestamp(create_time)),
        persistent: true,
    }
}

/// A page of the caller's notifications, the oldest first, with a cursor behind its last that can be kept for later.
///
/// # Errors
/// 400 for a limit outside of 1 to 100, or a cursor that is none.
pub async fn list_notifications(
    services: &Services,
    caller: &Caller,
    request: api::ListNotificationsRequest,
) -> Result<api::NotificationList, Error> {
    let limit = rules::page_limit(request.limit, 1, 100)?;
    let after = match request.cacheable_cursor.as_str() {
        "" => BEGINNING,
        cursor => read_cursor(cursor).ok_or_else(|| Error::invalid_argument("Cursor is invalid."))?,
    };
    let found = services.store.notifications(caller.user_id, after, limit);
    let found = found.map_err(|error| error.into_error("Error retrieving notifications."))?;
    let last = found.last().map_or(after, |last| (last.create_time, last.new.id));
    let notifications = found.into_iter().map(to_listed).collect();
    Ok(api::NotificationList { notifications, cacheable_cursor: cursor(last) })
}

/// Deletes those of the notifications that are the caller's.
///
/// # Errors
/// 400 for an id that is no UUID, or for too many; 500 or 503 when it could not be written. Then none is deleted.
pub async fn delete_notifications(
    services: &Services,
    caller: &Caller,
    request: api::DeleteNotificationsRequest,
) -> Result<(), Error> {
    let most = services.config.notification.max_per_user;
    if request.ids.len() > most {
        return Err(Error::invalid_argument(format!("Too many notification IDs, at most {most} are allowed.")));
    }
    let id = |text: &String| {
        parse_uuid(text).ok_or_else(|| Error::invalid_argument(format!("Invalid notification ID '{text}'.")))
    };
    let ids = request.ids.iter().map(id).collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() {
        return Ok(());
    }
    let deleted = services.store.delete_notifications(caller.user_id, ids).await;
    deleted.map(drop).map_err(|error| error.into_error("Error while deleting notifications."))
}

/// Time and id of the last one seen.
fn cursor((create_time, id): (i64, Uuid)) -> String {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&create_time.to_be_bytes());
    bytes[8..].copy_from_slice(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str) -> Option<(i64, Uuid)> {
    let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (time, id) = bytes.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*time), Uuid::from_slice(id).ok()?))
}

#[cfg(test)]
#[path = "notifications_tests.rs"]
mod tests;
