//! Frames, read field by field in one pass: a derived reader of a sum that is told apart by one of its fields would first put everything
//! together that it has not yet understood, which takes longer than all the rest.

use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{Body, Detail, Frame, PostMortem, Rows, Totals};
use crate::column::RowKey;
use crate::record::{NodeRow, ReferenceRow, Site, StoreRow};

/// The kinds of [`Body`], as they are told apart.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Hello,
    Snapshot,
    Delta,
    Detail,
    Report,
    Error,
}

/// All fields that any frame has.
#[derive(Deserialize)]
struct Fields {
    seq: u64,
    at_ms: u64,
    #[serde(default)]
    missed: u64,
    #[serde(rename = "type")]
    kind: Kind,
    id: Option<u32>,
    version: Option<u32>,
    node: Option<Box<NodeRow>>,
    totals: Option<Totals>,
    start: Option<u64>,
    order: Option<Vec<RowKey>>,
    rows: Option<Rows>,
    detail: Option<Box<Detail>>,
    store: Option<Box<StoreRow>>,
    #[serde(default)]
    post_mortem: Vec<PostMortem>,
    #[serde(default)]
    frames: Vec<Arc<Site>>,
    references: Option<Vec<ReferenceRow>>,
    last: Option<bool>,
    code: Option<String>,
    message: Option<String>,
    hint: Option<String>,
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        let (seq, at_ms, missed) = (fields.seq, fields.at_ms, fields.missed);
        Ok(Self { seq, at_ms, missed, body: fields.body()? })
    }
}

/// A field without which a frame of its kind is none.
fn needed<T, E: Error>(field: Option<T>, name: &'static str) -> Result<T, E> {
    field.ok_or_else(|| E::missing_field(name))
}

impl Fields {
    fn body<E: Error>(self) -> Result<Body, E> {
        let id = needed(self.id, "id");
        Ok(match self.kind {
            Kind::Hello => Body::Hello { version: needed(self.version, "version")?, node: needed(self.node, "node")? },
            Kind::Snapshot => Body::Snapshot {
                id: id?,
                totals: needed(self.totals, "totals")?,
                start: needed(self.start, "start")?,
                rows: needed(self.rows, "rows")?,
            },
            Kind::Delta => Body::Delta {
                id: id?,
                totals: needed(self.totals, "totals")?,
                start: needed(self.start, "start")?,
                order: self.order,
                rows: needed(self.rows, "rows")?,
            },
            Kind::Detail => Body::Detail { id: id?, detail: self.detail },
            Kind::Report => Body::Report {
                id: id?,
                store: self.store,
                post_mortem: self.post_mortem,
                frames: self.frames,
                references: needed(self.references, "references")?,
                last: needed(self.last, "last")?,
            },
            Kind::Error => Body::Error {
                id: self.id,
                code: needed(self.code, "code")?,
                message: needed(self.message, "message")?,
                hint: needed(self.hint, "hint")?,
            },
        })
    }
}
