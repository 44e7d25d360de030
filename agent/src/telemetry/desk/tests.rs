use std::pin::pin;
use std::sync::Mutex as Lock;
use std::task::{Context, Waker};

use plasmon_protocol::id::{ObjectId, ProcessId};
use plasmon_protocol::record::{
    ActorRow, EventRow, NodeRow, ObjectRow, PostMortemRow, ProcessRow, SiteRow, SpillFileRow, StoreRow, TaskRow,
};
use plasmon_protocol::stream::View;

use super::*;

/// References, told in slices that each take a while.
#[derive(Default)]
struct Node {
    references: Vec<ReferenceRow>,
    told: usize,
}

/// Rows of a slice, whatever is asked for.
const FEW: usize = 10;
const WHILE: Duration = Duration::from_millis(20);

impl Tables for Node {
    fn now_ms(&self) -> u64 {
        1
    }

    fn version(&self, _: Table) -> u64 {
        1
    }

    fn node(&self) -> NodeRow {
        NodeRow::default()
    }

    fn store(&self) -> StoreRow {
        StoreRow::default()
    }

    fn references(&self) -> Vec<ReferenceRow> {
        self.references.clone()
    }

    fn objects(&self) -> Vec<ObjectRow> {
        Vec::new()
    }

    fn sites(&self) -> Vec<SiteRow> {
        Vec::new()
    }

    fn processes(&self) -> Vec<ProcessRow> {
        Vec::new()
    }

    fn tasks(&self) -> Vec<TaskRow> {
        Vec::new()
    }

    fn actors(&self) -> Vec<ActorRow> {
        Vec::new()
    }

    fn post_mortem(&self) -> Vec<PostMortemRow> {
        Vec::new()
    }

    fn spill_files(&self) -> Vec<SpillFileRow> {
        Vec::new()
    }

    fn events(&self) -> Vec<EventRow> {
        Vec::new()
    }

    fn detail(&self, _: Target) -> Option<Detail> {
        None
    }

    fn follow(&mut self, table: Table, begin: bool, _: usize) -> Option<Changed> {
        assert_eq!(table, Table::References);
        let from = if begin { 0 } else { self.told };
        self.told = self.references.len().min(from + FEW);
        std::thread::sleep(WHILE);
        let rows = self.references[from..self.told].to_vec();
        Some(Changed {
            now_ms: 1,
            gone: Vec::new(),
            places: (from as u32..self.told as u32).collect(),
            rows: Rows::References(rows),
            end: self.references.len() as u32,
            complete: self.told == self.references.len(),
        })
    }
}

/// A desk of a node with so many references, of so many bytes each.
fn desk(references: u32, size: u64) -> Arc<Desk> {
    let row = |number: u32| ReferenceRow {
        object_id: ObjectId(u128::from(number).to_be_bytes()),
        process: ProcessId(1),
        size_bytes: Some(size),
        ..ReferenceRow::default()
    };
    let node = Lock::new(Node { references: (0..references).map(row).collect(), told: 0 });
    Desk::new(NodeHandle::new(move |question| question(&mut *node.lock().unwrap())))
}

/// Goes on with something until it waits, and drops it there.
async fn cut_off<T>(work: impl Future<Output = T>) {
    let mut work = pin!(work);
    std::future::poll_fn(|_| {
        let _ = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        std::task::Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn who_goes_between_two_slices_takes_none_of_them_along() {
    let desk = desk(35, 100);
    let all = Filter::parse("").unwrap();
    let query = Query::prepare(View::of(Table::References)).unwrap();
    // Between the first slice and the second.
    cut_off(desk.whole(all.clone())).await;
    assert_eq!(desk.whole(all.clone()).await.unwrap().rows.len(), 35);

    let desk = self::desk(35, 100);
    let look = desk.look(Instant::now()).await.unwrap();
    cut_off(desk.show(&query, &look)).await;
    desk.show(&query, &look).await.unwrap().unwrap();
    let totals = desk.shelf(Place::of(&query)).await.window(&query).unwrap().totals;
    assert_eq!((totals.rows, totals.matched, totals.bytes), (35, 35, 3_500));
    assert_eq!(desk.whole(all).await.unwrap().rows.len(), 35);
}
