//! The report as scripts read it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::{Error as _, SerializeSeq};
use serde::{Serialize, Serializer};

use super::page::{SiteText, stack};
use super::{Report, harmless};
use crate::id::{ActorId, JobId, NodeId, ObjectId};
use crate::record::{Ledger, ReferenceRow, ReferenceTotals, Site, SpillRow, WaitRow};
use crate::stream::{PostMortem, VERSION};

pub(super) fn value(report: &Report) -> serde_json::Value {
    // Only maps whose keys are no strings fail, and there are none.
    serde_json::to_value(report).unwrap_or_default()
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ledger = &self.store.ledger;
        let spill = SpillJson::of(&self.store.spill, self.now_ms);
        let store = StoreJson { used_bytes: ledger.used_bytes(), objects: self.store.objects, ledger, spill };
        ReportJson {
            version: VERSION,
            node: self.store.node.node,
            store,
            totals: self.totals(),
            filter: self.filter.as_ref().map(|filter| FilterJson { text: harmless(&filter.text), of: filter.of }),
            references: References(self),
            post_mortem: self.post_mortem.iter().map(|dead| PostMortemJson::of(dead, self.now_ms)).collect(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct ReportJson<'a> {
    version: u32,
    node: NodeId,
    store: StoreJson<'a>,
    totals: ReferenceTotals,
    /// Only where references, and totals, are those that match.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<FilterJson<'a>>,
    references: References<'a>,
    /// What processes that died held; in no row and no total above.
    post_mortem: Vec<PostMortemJson<'a>>,
}

#[derive(Serialize)]
struct FilterJson<'a> {
    text: Cow<'a, str>,
    /// Totals over all references.
    of: ReferenceTotals,
}

#[derive(Serialize)]
struct StoreJson<'a> {
    used_bytes: u64,
    objects: u64,
    #[serde(flatten)]
    ledger: &'a Ledger,
    spill: SpillJson<'a>,
}

/// External storage; its figures are those of the row.
struct SpillJson<'a> {
    row: SpillRow,
    queue: Vec<WaitJson<'a>>,
}

impl<'a> SpillJson<'a> {
    fn of(row: &'a SpillRow, now_ms: u64) -> Self {
        let clean = |text: &Arc<str>| Arc::from(harmless(text).as_ref());
        let places = row.places.iter().map(clean).collect();
        let cleaned = SpillRow { state: clean(&row.state), places, queue: Vec::new(), ..row.clone() };
        Self { row: cleaned, queue: row.queue.iter().map(|wait| WaitJson::of(wait, now_ms)).collect() }
    }
}

impl Serialize for SpillJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serde_json::to_value(&self.row).map_err(S::Error::custom)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("queue".to_owned(), serde_json::to_value(&self.queue).map_err(S::Error::custom)?);
        }
        value.serialize(serializer)
    }
}

#[derive(Serialize)]
struct WaitJson<'a> {
    position: u32,
    pid: u32,
    bytes: u64,
    object_id: Option<ObjectId>,
    site: String,
    age_ms: u64,
    reason: Cow<'a, str>,
}

impl<'a> WaitJson<'a> {
    fn of(wait: &'a WaitRow, now_ms: u64) -> Self {
        Self {
            position: wait.position,
            pid: wait.pid,
            bytes: wait.bytes,
            object_id: wait.object,
            site: SiteText::full(&wait.site).whole().to_owned(),
            age_ms: now_ms.saturating_sub(wait.since_ms),
            reason: harmless(&wait.reason),
        }
    }
}

/// One by one, so that a long report is never there twice.
struct References<'a>(&'a Report);

impl Serialize for References<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(report) = self;
        let mut rows = serializer.serialize_seq(Some(report.references.len()))?;
        for row in &report.references {
            rows.serialize_element(&ReferenceJson::of(row, report.now_ms))?;
        }
        rows.end()
    }
}

#[derive(Serialize)]
struct ReferenceJson<'a> {
    object_id: ObjectId,
    pid: u32,
    process_type: &'static str,
    node_ip: Cow<'a, str>,
    reference_type: &'static str,
    size_bytes: Option<u64>,
    call_site: String,
    created_site: String,
    /// Where more than the place is known: that, and what it was called from, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    call_stack: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    created_stack: Vec<String>,
    creator_pid: u32,
    status: Option<&'static str>,
    attempt: Option<u32>,
    age_ms: u64,
    local: u32,
    pinned: u32,
    submitted: u32,
    captured: u32,
}

impl<'a> ReferenceJson<'a> {
    fn of(row: &'a ReferenceRow, now_ms: u64) -> Self {
        let site = |site: &Site| SiteText::full(site).whole().to_owned();
        let frames = |site: &Site| if site.outer.is_some() { stack(site) } else { Vec::new() };
        Self {
            object_id: row.object_id,
            pid: row.pid,
            process_type: row.process_type.word(),
            node_ip: harmless(&row.node_ip),
            reference_type: row.reference_type.word(),
            size_bytes: row.size_bytes,
            call_site: site(&row.call_site),
            created_site: site(&row.created_site),
            call_stack: frames(&row.call_site),
            created_stack: frames(&row.created_site),
            creator_pid: row.creator_pid,
            status: row.status.map(|status| status.word()),
            attempt: row.attempt,
            age_ms: now_ms.saturating_sub(row.since_ms),
            local: row.local,
            pinned: row.pinned,
            submitted: row.submitted,
            captured: row.captured,
        }
    }
}

#[derive(Serialize)]
struct PostMortemJson<'a> {
    pid: u32,
    process_type: &'static str,
    job: JobId,
    name: Cow<'a, str>,
    how: Cow<'a, str>,
    signal: Option<i32>,
    exit_code: Option<i32>,
    task: Option<Cow<'a, str>>,
    actor_id: Option<ActorId>,
    heap_bytes: u64,
    held_bytes: u64,
    /// How many it held; the list has the largest only.
    reference_count: u64,
    lived_ms: u64,
    dead_ms: u64,
    references: Vec<ReferenceJson<'a>>,
}

impl<'a> PostMortemJson<'a> {
    fn of(PostMortem { process, references, .. }: &'a PostMortem, now_ms: u64) -> Self {
        Self {
            pid: process.pid,
            process_type: process.process_type.word(),
            job: process.job,
            name: harmless(&process.name),
            how: harmless(&process.how),
            signal: process.signal,
            exit_code: process.exit_code,
            task: process.task.as_deref().map(harmless),
            actor_id: process.actor,
            heap_bytes: process.heap_bytes,
            held_bytes: process.held_bytes,
            reference_count: process.references,
            lived_ms: process.died_ms.saturating_sub(process.since_ms),
            dead_ms: now_ms.saturating_sub(process.died_ms),
            references: references.iter().map(|row| ReferenceJson::of(row, now_ms)).collect(),
        }
    }
}
