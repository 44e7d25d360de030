//! Windows as JSON text. Rows are written one by one before it is known which frame takes them, so that what changed is told by
//! what would be sent, and so that a frame's size is known before it is put together.

use serde::Serialize;
use serde_json::Value;

use crate::column::{Record, RowKey};
use crate::error::Error;
use crate::stream::{Rows, Totals};

/// No text within a long row or detail is longer, in bytes.
pub const MAX_TEXT: usize = 1 << 10;
/// Rows longer than this have their texts cut, in bytes; ordinary rows take a few hundred.
const LONG_ROW: usize = 8 << 10;
/// What a frame needs besides rows and keys, in bytes: more than its fields with the largest numbers.
pub const ENVELOPE: usize = 1 << 10;

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

/// One row, with `fields` only unless that is empty; the texts of a very long one are cut.
///
/// # Errors
/// When it cannot be written, which no row can bring about by its values.
pub fn write_row<R: Serialize>(row: &R, fields: &[String]) -> serde_json::Result<String> {
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

pub(super) fn unwritable(cause: serde_json::Error) -> Error {
    Error::Encode { kind: "row".to_owned(), cause: cause.to_string() }
}

/// Cuts every text within to one kibibyte.
pub fn clip(value: &mut Value) {
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

/// What a frame carries, written but for the numbers that are known only when it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload(String);

/// How many of `rows`, from the first, fit one snapshot of at most `limit` bytes.
#[must_use]
pub fn fitting(rows: &[RowText], limit: usize) -> usize {
    let mut left = limit.saturating_sub(ENVELOPE);
    rows.iter().take_while(|row| take(&mut left, row.json.len() + 1)).count()
}

fn take(left: &mut usize, bytes: usize) -> bool {
    left.checked_sub(bytes).inspect(|rest| *left = *rest).is_some()
}

impl Payload {
    /// The fields of a frame, as JSON without the braces around them.
    #[must_use]
    pub fn of(fields: String) -> Self {
        Self(fields)
    }

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

    /// What changed in a window; `None` when that fits no frame of `limit` bytes, as may be when all of a large window is new.
    ///
    /// # Errors
    /// See [`write_rows`].
    pub fn delta(
        id: u32,
        totals: &Totals,
        start: u64,
        order: Option<Vec<&str>>,
        name: &str,
        changed: &[&RowText],
        limit: usize,
    ) -> Result<Option<Self>, Error> {
        let totals = serde_json::to_string(totals).map_err(unwritable)?;
        let mut text = format!(r#""type":"delta","id":{id},"totals":{totals},"start":{start}"#);
        if let Some(keys) = order {
            text.push_str(r#","order":"#);
            text.push_str(&serde_json::to_string(&keys).map_err(unwritable)?);
        }
        push_rows(&mut text, name, changed.iter().map(|row| row.json.as_str()));
        Ok((text.len() <= limit.saturating_sub(ENVELOPE)).then_some(Self(text)))
    }

    /// The fields of the frame, as JSON without the braces around them.
    #[must_use]
    pub fn fields(&self) -> &str {
        &self.0
    }

    /// The frame, in no more memory than it needs.
    #[must_use]
    pub fn frame(&self, seq: u64, at_ms: u64, missed: u64) -> String {
        let missed = if missed == 0 { String::new() } else { format!(r#""missed":{missed},"#) };
        let head = format!(r#"{{"seq":{seq},"at_ms":{at_ms},{missed}"#);
        let mut frame = String::with_capacity(head.len() + self.0.len() + 1);
        frame.extend([&*head, &*self.0, "}"]);
        frame
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
