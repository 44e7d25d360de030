//! Values that nobody has put: bytes of any kind under any type. Reading them is a value or a typed error, and the process that reads
//! stays connected, whatever ids stand in the bytes. `plasmon_fuzz` says how to run it longer.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::marker::PhantomData;

use plasmon::{Error, ObjectRef};
use plasmon_fuzz::corpus;
use plasmon_protocol::id::{NodeId, ObjectKey};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use support::{Viewer, alone, start};

/// Much of what programs put.
#[derive(Serialize, Deserialize)]
struct Value {
    references: Vec<ObjectRef<u64>>,
    nested: Option<Box<Value>>,
    text: String,
    table: BTreeMap<u32, Vec<u8>>,
    outcome: Result<(f64, bool, char), Error>,
}

/// Is written as these bytes and read as a `T`.
struct Nonsense<T> {
    bytes: Vec<u8>,
    read: PhantomData<fn() -> T>,
}

impl<T> Serialize for Nonsense<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A tuple has neither a length nor anything else around its bytes.
        let mut tuple = serializer.serialize_tuple(self.bytes.len())?;
        self.bytes.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nonsense<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|_| Self { bytes: Vec::new(), read: PhantomData })
    }
}

/// The node that the corpus was written on.
const ELSEWHERE: NodeId = NodeId([0xe1; 8]);

/// As [`Value`] is written, with plain ids for references.
type Written = (Vec<[u8; 16]>, Option<Box<Nested>>, String, BTreeMap<u32, Vec<u8>>, Result<(f64, bool, char), Error>);

#[derive(Serialize)]
struct Nested(Written);

fn examples() -> Vec<(String, Vec<u8>)> {
    let id = |slot, generation| ObjectKey { slot, generation }.on(ELSEWHERE).0;
    let table = BTreeMap::from([(7, vec![1, 2, 3]), (u32::MAX, Vec::new())]);
    let plain = || (Vec::new(), None, "text".to_owned(), table.clone(), Ok((1.5, true, 'é')));
    let failed: Written = (Vec::new(), None, String::new(), BTreeMap::new(), Err(Error::invalid("it", "x", "so")));
    let references: Written =
        (vec![id(0, 1), id(1, 1), id(0, 1)], Some(Box::new(Nested(plain()))), String::new(), table.clone(), Ok((0.0, false, 'a')));
    let lost: Written = (vec![id(0, 2), id(9, 1), id(u32::MAX, u32::MAX)], None, String::new(), BTreeMap::new(), Ok((0.0, false, 'a')));
    [("plain", plain()), ("failed", failed), ("references", references), ("lost", lost)]
        .map(|(name, value)| (name.to_owned(), plasmon_protocol::local::encode(&value).unwrap()))
        .to_vec()
}

#[test]
fn value() {
    alone(|| {
        let corpus = corpus!("value");
        corpus.holds(&examples());
        let node = start(1.0).node;
        let mut viewer = Viewer::here();
        let held: Vec<_> = (0..3_u64).map(|number| plasmon::put(&number).unwrap()).collect();
        corpus.run(|bytes| {
            // Ids of the corpus become ids of this node.
            let mut bytes = bytes.to_vec();
            while let Some(at) = bytes.windows(8).position(|part| part == ELSEWHERE.0) {
                bytes[at..at + 8].copy_from_slice(&node.0);
            }
            let put = plasmon::put(&Nonsense::<Value> { bytes, read: PhantomData }).unwrap();
            match plasmon::get(&put) {
                Ok(_) => true,
                Err(error) => {
                    assert!(matches!(error, Error::Decode { .. }), "{error}");
                    false
                }
            }
        });
        assert_eq!(plasmon::get(&held[2]), Ok(2), "this process was dropped");
        drop(held);
        viewer.until_empty();
    });
}
