//! Frames as JSON text. Rows are written one by one before it is known which frame takes them, so that what changed is told by
//! what would be sent, and so that a frame's size is known before it is put together.

use plasmon_protocol::column::{Record, RowKey};
use plasmon_protocol::error::Error;
use plasmon_protocol::record::{ReferenceRow, StoreRow};
use plasmon_protocol::stream::{Body, Detail, Frame, MAX_DETAIL, MAX_FRAME, PostMortem, Rows, Totals};
use serde::Serialize;
use serde_json::Value;

/// No text within a long row or detail is longer, in bytes.
const MAX_TEXT: usize = 1 << 10;
/// Rows longer than this have their texts cut, in bytes; ordinary rows take a few hundred.
const LONG_ROW: usize = 8 << 10;
/// What a frame needs besides rows and keys, in bytes: more than its fields with the largest numbers.
const ENVELOPE: usize = 1 << 10;

/// One row as it would be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowText {
    /// Its key.
    pub key: RowKey,
    /// Its fields.
    pub json: String,
}

/// The rows as they would be sent, with `fields` only unless that is empty.
///
/// # Errors
/// [`Error::Encode`] when a row cannot be written, which no row can bring about by its values.
pub fn write_rows(rows: &Rows, fields: &[String]) -> Result<Vec<RowText>, Error> {
    match rows {
        Rows::References(rows) => each(rows, fields, Record::key),
        Rows::Objects(rows) => each(rows, fields, Record::key),
        Rows::Sites(rows) => each(rows, fields, Record::key),
        Rows::Processes(rows) => each(rows, fields, Record::key),
        Rows::Tasks(rows) => each(rows, fields, Record::key),
        Rows::Actors(rows) => each(rows, fields, Record::key),
        Rows::PostMortem(rows) => each(rows, fields, Record::key),
        Rows::Events(rows) => each(rows, fields, Record::key),
        Rows::SpillFiles(rows) => each(rows, fields, Record::key),
        Rows::Store(rows) => each(rows, fields, Record::key),
        Rows::Groups(rows) => each(rows, &[], |row| row.key.clone()),
    }
}

fn each<R: Serialize>(rows: &[R], fields: &[String], key: impl Fn(&R) -> RowKey) -> Result<Vec<RowText>, Error> {
    rows.iter().map(|row| Ok(RowText { key: key(row), json: write_row(row, fields).map_err(unwritable)? })).collect()
}

fn write_row<R: Serialize>(row: &R, fields: &[String]) -> serde_json::Result<String> {
    if fields.is_empty() {
        let json = serde_json::to_string(row)?;
        if json.len() <= LONG_ROW {
            return Ok(json);
        }
    }
    let mut value = serde_json::to_value(row)?;
    if let (Some(map), false) = (value.as_object_mut(), fields.is_empty()) {
        map.retain(|name, _| fields.iter().any(|field| field == name));
    }
    clip(&mut value);
    serde_json::to_string(&value)
}

fn unwritable(cause: serde_json::Error) -> Error {
    Error::Encode { kind: "row".to_owned(), cause: cause.to_string() }
}

/// Cuts every text within to [`MAX_TEXT`] bytes.
fn clip(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_TEXT => {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            text.push('…');
        }
        Value::Array(values) => values.iter_mut().for_each(clip),
        Value::Object(map) => map.values_mut().for_each(clip),
        _ => {}
    }
}

/// The field of [`Rows`] that these are in.
#[must_use]
pub fn rows_name(rows: &Rows) -> &'static str {
    match rows {
        Rows::References(_) => "references",
        Rows::Objects(_) => "objects",
        Rows::Sites(_) => "sites",
        Rows::Processes(_) => "processes",
        Rows::Tasks(_) => "tasks",
        Rows::Actors(_) => "actors",
        Rows::PostMortem(_) => "post_mortem",
        Rows::Events(_) => "events",
        Rows::SpillFiles(_) => "spill_files",
        Rows::Store(_) => "store",
        Rows::Groups(_) => "groups",
    }
}

/// What a frame carries, written but for the numbers that are known only when it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload(String);

/// How many of `rows`, from the first, fit one snapshot.
#[must_use]
pub fn fitting(rows: &[RowText]) -> usize {
    let mut left = MAX_FRAME - ENVELOPE;
    rows.iter().take_while(|row| take(&mut left, row.json.len() + 1)).count()
}

fn take(left: &mut usize, bytes: usize) -> bool {
    left.checked_sub(bytes).inspect(|rest| *left = *rest).is_some()
}

impl Payload {
    /// A whole window; rows that do not fit must have been left out.
    ///
    /// # Errors
    /// See [`write_rows`].
    pub fn snapshot(id: u32, totals: &Totals, start: u64, name: &str, rows: &[RowText]) -> Result<Self, Error> {
        let totals = serde_json::to_string(totals).map_err(unwritable)?;
        let mut text = format!(r#""type":"snapshot","id":{id},"totals":{totals},"start":{start}"#);
        push_rows(&mut text, name, rows.iter().map(|row| row.json.as_str()));
        Ok(Self(text))
    }

    /// What changed in a window; `None` when that fits no frame, as may be when all of a large window is new.
    ///
    /// # Errors
    /// See [`write_rows`].
    pub fn delta(
        id: u32,
        totals: &Totals,
        start: u64,
        order: Option<&[RowText]>,
        name: &str,
        changed: &[&RowText],
    ) -> Result<Option<Self>, Error> {
        let totals = serde_json::to_string(totals).map_err(unwritable)?;
        let mut text = format!(r#""type":"delta","id":{id},"totals":{totals},"start":{start}"#);
        if let Some(order) = order {
            let keys: Vec<&str> = order.iter().map(|row| row.key.as_str()).collect();
            text.push_str(r#","order":"#);
            text.push_str(&serde_json::to_string(&keys).map_err(unwritable)?);
        }
        push_rows(&mut text, name, changed.iter().map(|row| row.json.as_str()));
        Ok((text.len() <= MAX_FRAME - ENVELOPE).then_some(Self(text)))
    }

    /// A detail, or `null`; lists and texts in it are shortened until it fits a frame.
    ///
    /// # Errors
    /// See [`write_rows`].
    pub fn detail(id: u32, detail: Option<&Detail>) -> Result<Self, Error> {
        let mut json = serde_json::to_string(&detail).map_err(unwritable)?;
        let mut longest = MAX_DETAIL;
        while json.len() > MAX_FRAME - ENVELOPE && longest > 0 {
            let mut value = serde_json::to_value(detail).map_err(unwritable)?;
            longest /= 2;
            clip(&mut value);
            shorten(&mut value, longest);
            json = serde_json::to_string(&value).map_err(unwritable)?;
        }
        Ok(Self(format!(r#""type":"detail","id":{id},"detail":{json}"#)))
    }

    /// The frame, at most `MAX_FRAME` bytes.
    #[must_use]
    pub fn frame(&self, seq: u64, at_ms: u64, missed: u64) -> String {
        let body = &self.0;
        if missed == 0 {
            format!(r#"{{"seq":{seq},"at_ms":{at_ms},{body}}}"#)
        } else {
            format!(r#"{{"seq":{seq},"at_ms":{at_ms},"missed":{missed},{body}}}"#)
        }
    }
}

fn push_rows<'a>(text: &mut String, name: &str, rows: impl Iterator<Item = &'a str>) {
    text.push_str(r#","rows":{""#);
    text.push_str(name);
    text.push_str(r#"":["#);
    for (index, row) in rows.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(row);
    }
    text.push_str("]}");
}

/// Cuts every list within to `longest` entries.
fn shorten(value: &mut Value, longest: usize) {
    match value {
        Value::Array(values) => {
            values.truncate(longest);
            values.iter_mut().for_each(|value| shorten(value, longest));
        }
        Value::Object(map) => map.values_mut().for_each(|value| shorten(value, longest)),
        _ => {}
    }
}

/// A part of a report: as many of the `dead`, and then of the `rows`, as fit one frame, at least one of them, and how many those are.
/// Of one who held more than fits a frame, the smaller half of the list is left out, as often as need be; its row has the count.
///
/// # Errors
/// See [`write_rows`].
pub fn report_part(
    id: u32,
    store: Option<&StoreRow>,
    dead: &[PostMortem],
    rows: &[ReferenceRow],
) -> Result<(Payload, (usize, usize)), Error> {
    let mut text = format!(r#""type":"report","id":{id}"#);
    if let Some(store) = store {
        text.push_str(r#","store":"#);
        text.push_str(&write_row(store, &[]).map_err(unwritable)?);
    }
    let mut left = (MAX_FRAME - ENVELOPE).saturating_sub(text.len());
    let (examined, rows_fit) = if dead.is_empty() { (0, true) } else { push_dead(&mut text, &mut left, dead)? };
    let mut taken = 0;
    text.push_str(r#","references":["#);
    for row in if rows_fit { rows } else { &[] } {
        let json = write_row(row, &[]).map_err(unwritable)?;
        if !take(&mut left, json.len() + 1) && taken + examined > 0 {
            break;
        }
        if taken > 0 {
            text.push(',');
        }
        text.push_str(&json);
        taken += 1;
    }
    let last = (examined, taken) == (dead.len(), rows.len());
    text.push_str(if last { r#"],"last":true"# } else { r#"],"last":false"# });
    Ok((Payload(text), (examined, taken)))
}

/// As many of the `dead` as fit, at least one, and whether those were all.
fn push_dead(text: &mut String, left: &mut usize, dead: &[PostMortem]) -> Result<(usize, bool), Error> {
    text.push_str(r#","post_mortem":["#);
    let mut taken = 0;
    for entry in dead {
        let mut json = write_row(entry, &[]).map_err(unwritable)?;
        if taken == 0 && json.len() + 1 > *left {
            let mut value = serde_json::to_value(entry).map_err(unwritable)?;
            clip(&mut value);
            json = value.to_string();
            let mut longest = MAX_DETAIL;
            while json.len() + 1 > *left && longest > 0 {
                longest /= 2;
                shorten(&mut value, longest);
                json = value.to_string();
            }
        }
        if !take(left, json.len() + 1) {
            break;
        }
        if taken > 0 {
            text.push(',');
        }
        text.push_str(&json);
        taken += 1;
    }
    text.push(']');
    Ok((taken, taken == dead.len()))
}

/// A frame that carries no rows.
///
/// # Errors
/// See [`write_rows`].
pub fn write_frame(frame: &Frame) -> Result<String, Error> {
    let json = serde_json::to_string(frame).map_err(unwritable)?;
    if json.len() <= MAX_FRAME {
        return Ok(json);
    }
    let mut value = serde_json::to_value(frame).map_err(unwritable)?;
    clip(&mut value);
    serde_json::to_string(&value).map_err(unwritable)
}

/// An error as a frame carries it.
#[must_use]
pub fn error_body(id: Option<u32>, error: &Error) -> Body {
    let mut message = error.to_string();
    if message.len() > MAX_TEXT {
        message.truncate(message.floor_char_boundary(MAX_TEXT));
        message.push('…');
    }
    Body::Error { id, code: error.code().to_owned(), message, hint: error.hint().to_owned() }
}
