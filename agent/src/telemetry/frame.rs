//! Frames as JSON text, beside those of windows: details, reports, errors.

use plasmon_protocol::error::Error;
use plasmon_protocol::record::{ReferenceRow, StoreRow};
use plasmon_protocol::stream::{Body, Detail, Frame, MAX_DETAIL, MAX_FRAME, PostMortem};
use plasmon_protocol::window::{ENVELOPE, MAX_TEXT, Payload, clip, write_row};
use serde_json::Value;

fn unwritable(cause: serde_json::Error) -> Error {
    Error::Encode { kind: "frame".to_owned(), cause: cause.to_string() }
}

fn take(left: &mut usize, bytes: usize) -> bool {
    left.checked_sub(bytes).inspect(|rest| *left = *rest).is_some()
}

/// A detail, or `null`; lists and texts in it are shortened until it fits a frame.
///
/// # Errors
/// [`Error::Encode`] when it cannot be written, which no value can bring about.
pub fn detail(id: u32, detail: Option<&Detail>) -> Result<Payload, Error> {
    let mut json = serde_json::to_string(&detail).map_err(unwritable)?;
    let mut longest = MAX_DETAIL;
    while json.len() > MAX_FRAME - ENVELOPE && longest > 0 {
        let mut value = serde_json::to_value(detail).map_err(unwritable)?;
        longest /= 2;
        clip(&mut value);
        shorten(&mut value, longest);
        json = serde_json::to_string(&value).map_err(unwritable)?;
    }
    Ok(Payload::of(format!(r#""type":"detail","id":{id},"detail":{json}"#)))
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
/// See [`detail`].
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
    Ok((Payload::of(text), (examined, taken)))
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
/// See [`detail`].
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
