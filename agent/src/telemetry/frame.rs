//! Frames as JSON text, beside those of windows: details, reports, errors.

use std::collections::HashSet;
use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::SiteId;
use plasmon_protocol::record::{ReferenceRow, Site, StoreRow};
use plasmon_protocol::stream::{Body, Detail, Frame, MAX_DETAIL, MAX_FRAME, PostMortem};
use plasmon_protocol::window::{ENVELOPE, MAX_TEXT, Payload, clip, write_row};
use serde::Serialize;
use serde_json::Value;

fn unwritable(cause: serde_json::Error) -> Error {
    Error::Encode { kind: "frame".to_owned(), cause: cause.to_string() }
}

fn take(left: &mut usize, bytes: usize) -> bool {
    left.checked_sub(bytes).inspect(|rest| *left = *rest).is_some()
}

/// What a detail may take of its frame, bytes.
const ROOM: usize = MAX_FRAME - ENVELOPE;
/// No detail is shorter, in bytes.
const SHORTEST: usize = 32;
/// Lists of lines whose last ones are worth the most.
const LATEST: [&str; 2] = ["stdout", "stderr"];

/// A detail, or `null`; lists and texts in it are shortened until it fits a frame. Of what a recording has beside the tables, the details
/// that fit.
///
/// # Errors
/// [`Error::Encode`] when it cannot be written, which no value can bring about.
pub fn detail(id: u32, detail: Option<&Detail>) -> Result<Payload, Error> {
    let json = match detail {
        Some(Detail::Recording(details)) => recording(details)?,
        one => fitted(&one, ROOM)?,
    };
    Ok(Payload::of(format!(r#""type":"detail","id":{id},"detail":{json}"#)))
}

/// Each of `details` that fits beside those before it, whole; only one that would fit no frame at all is shortened.
fn recording(details: &[Detail]) -> Result<String, Error> {
    let (mut json, end) = (r#"{"recording":["#.to_owned(), "]}");
    let mut left = ROOM - json.len() - end.len();
    let mut taken = 0;
    for detail in details {
        if left < SHORTEST {
            break;
        }
        let mut one = serde_json::to_string(detail).map_err(unwritable)?;
        if one.len() > ROOM {
            one = fitted(detail, left.saturating_sub(1))?;
        }
        // What does not fit any more keeps out nothing that does.
        if !take(&mut left, one.len() + 1) {
            continue;
        }
        json.push_str(if taken > 0 { "," } else { "" });
        json.push_str(&one);
        taken += 1;
    }
    json.push_str(end);
    Ok(json)
}

/// As JSON, shortened until it is no longer than `room`, or until there is nothing more to shorten.
fn fitted(detail: &impl Serialize, room: usize) -> Result<String, Error> {
    let mut json = serde_json::to_string(detail).map_err(unwritable)?;
    let mut longest = MAX_DETAIL;
    while json.len() > room && longest > 0 {
        let mut value = serde_json::to_value(detail).map_err(unwritable)?;
        longest /= 2;
        clip(&mut value);
        shorten(&mut value, longest);
        json = serde_json::to_string(&value).map_err(unwritable)?;
    }
    Ok(json)
}

/// Cuts every list within to `longest` entries: the first ones, of what was printed the last ones.
fn shorten(value: &mut Value, longest: usize) {
    match value {
        Value::Array(values) => {
            values.truncate(longest);
            values.iter_mut().for_each(|value| shorten(value, longest));
        }
        Value::Object(map) => map.iter_mut().for_each(|(name, value)| {
            if let Value::Array(lines) = &mut *value
                && LATEST.contains(&name.as_str())
            {
                lines.drain(..lines.len().saturating_sub(longest));
            }
            shorten(value, longest);
        }),
        _ => {}
    }
}

/// A part of a report: as many of the `dead`, and then of the `rows`, as fit one frame, at least one of them, and how many those are.
/// Of one who held more than fits a frame, the smaller half of the list is left out, as often as need be; its row has the count. Frames of
/// their stacks that are not `told` are told with the rows.
///
/// # Errors
/// See [`detail`].
pub fn report_part(
    id: u32,
    store: Option<&StoreRow>,
    dead: &[PostMortem],
    rows: &[ReferenceRow],
    told: &mut HashSet<SiteId>,
) -> Result<(Payload, (usize, usize)), Error> {
    let mut text = format!(r#""type":"report","id":{id}"#);
    if let Some(store) = store {
        text.push_str(r#","store":"#);
        text.push_str(&write_row(store, &[]).map_err(unwritable)?);
    }
    let mut left = (MAX_FRAME - ENVELOPE).saturating_sub(text.len());
    let (examined, rows_fit) = if dead.is_empty() { (0, true) } else { push_dead(&mut text, &mut left, dead)? };
    let mut taken = 0;
    let mut frames = String::new();
    text.push_str(r#","references":["#);
    for row in if rows_fit { rows } else { &[] } {
        let json = write_row(row, &[]).map_err(unwritable)?;
        let mut new = new_frames(row, told);
        let mut new_json = new.iter().map(|frame| write_row(&***frame, &[])).collect::<serde_json::Result<Vec<_>>>().map_err(unwritable)?;
        let bytes = json.len() + 1 + new_json.iter().map(|json| json.len() + 1).sum::<usize>();
        if !take(&mut left, bytes) {
            if taken + examined > 0 {
                break;
            }
            // No honest program has names that long: the row is worth more.
            left = left.saturating_sub(json.len() + 1);
            new.clear();
            new_json.clear();
        }
        for json in new_json {
            frames.push_str(if frames.is_empty() { "" } else { "," });
            frames.push_str(&json);
        }
        told.extend(new.iter().map(|frame| frame.id));
        if taken > 0 {
            text.push(',');
        }
        text.push_str(&json);
        taken += 1;
    }
    if !frames.is_empty() {
        text.push_str(r#"],"frames":["#);
        text.push_str(&frames);
    }
    let last = (examined, taken) == (dead.len(), rows.len());
    text.push_str(if last { r#"],"last":true"# } else { r#"],"last":false"# });
    Ok((Payload::of(text), (examined, taken)))
}

/// What the call sites of a row were called from that is not `told`, callers first.
fn new_frames<'a>(row: &'a ReferenceRow, told: &HashSet<SiteId>) -> Vec<&'a Arc<Site>> {
    let mut new: Vec<&Arc<Site>> = Vec::new();
    for site in [&row.created_site, &row.call_site] {
        let outer = std::iter::successors(site.outer.as_ref(), |site| site.outer.as_ref());
        let begin = new.len();
        new.extend(outer.take_while(|frame| !told.contains(&frame.id)));
        new[begin..].reverse();
    }
    let mut seen = HashSet::new();
    new.retain(|frame| seen.insert(frame.id));
    new
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

#[cfg(test)]
mod tests {
    use plasmon_protocol::explain::Explanation;
    use plasmon_protocol::record::ObjectRow;
    use plasmon_protocol::stream::{ObjectDetail, Output, ProcessDetail};

    use super::*;

    /// An object in which so many others lie.
    fn object(contains: usize) -> Detail {
        let row = ObjectRow::default();
        Detail::Object(ObjectDetail { contains: vec![row.clone(); contains], object: row, ..ObjectDetail::default() })
    }

    fn read(details: &[Detail]) -> Vec<Detail> {
        let frame = detail(1, Some(&Detail::Recording(details.to_vec()))).unwrap().frame(1, 1, 0);
        assert!(frame.len() <= MAX_FRAME, "{}", frame.len());
        let Body::Detail { detail: Some(detail), .. } = serde_json::from_str::<Frame>(&frame).unwrap().body else { panic!() };
        let Detail::Recording(read) = *detail else { panic!() };
        read
    }

    #[test]
    fn a_recording_has_its_first_details_whole() {
        let few = vec![Detail::Explain(Explanation::default()), object(3), object(0)];
        assert_eq!(read(&few), few);
        assert_eq!(read(&[]), []);
        let many = vec![object(20); 300];
        let told = read(&many);
        let size = serde_json::to_string(&many[0]).unwrap().len() + 1;
        assert_eq!(told.len(), (ROOM - r#"{"recording":[]}"#.len()) / size, "as many as fit");
        assert!(told == many[..told.len()], "none is cut");
    }

    #[test]
    fn a_detail_that_does_not_fit_keeps_no_other_out() {
        let (large, small) = (object(200), object(0));
        let size = serde_json::to_string(&large).unwrap().len();
        assert!(size < ROOM && 2 * size > ROOM, "{size}");
        let told = read(&[large.clone(), large.clone(), small.clone(), large.clone(), small.clone()]);
        assert!(told == [large, small.clone(), small], "{}", told.len());
    }

    #[test]
    fn of_what_was_printed_the_last_lines_stay() {
        let lines = |number: usize| (0..number).map(|line| format!("{line} {}", "x".repeat(3_000))).collect::<Vec<_>>();
        let printed =
            Detail::Process(ProcessDetail { output: Output { stdout: lines(20), stderr: lines(60) }, ..ProcessDetail::default() });
        let frame = detail(1, Some(&printed)).unwrap().frame(1, 1, 0);
        assert!(frame.len() <= MAX_FRAME, "{}", frame.len());
        let Body::Detail { detail: Some(told), .. } = serde_json::from_str::<Frame>(&frame).unwrap().body else { panic!() };
        let Detail::Process(ProcessDetail { output, .. }) = *told else { panic!() };
        assert!(output.stdout.last().unwrap().starts_with("19 ") && output.stderr.last().unwrap().starts_with("59 "));
    }

    #[test]
    fn only_what_fits_no_frame_is_shortened() {
        let told = read(&[object(2), object(5_000), object(3)]);
        assert_eq!(told[0], object(2));
        let Detail::Object(long) = &told[1] else { panic!() };
        assert!((1..=MAX_DETAIL).contains(&long.contains.len()), "{}", long.contains.len());
        assert_eq!(told[2], object(3));
    }
}
