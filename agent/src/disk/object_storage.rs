//! Spill files in object storage: S3, Google Cloud Storage, Azure, and what looks like them. The address is a URL; credentials and
//! endpoints come from the usual variables of the environment (`AWS_ENDPOINT`, `AWS_ACCESS_KEY_ID`, `GOOGLE_APPLICATION_CREDENTIALS`, ...).
//!
//! Files are `<prefix>/plasmon-<session>/<number>`. Large ones go up in parts, several at a time; what was begun and not finished is called
//! off. When an agent is killed while a file goes up, the storage keeps the parts until its own rule for them says otherwise.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use plasmon_protocol::error::Error;
use plasmon_protocol::id::SpillFileId;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use url::Url;

use super::target::{NewFile, OldFile, SpillTarget};
use crate::spill::job::{DiskRoom, Failure};

/// A part of an upload, bytes; the last one may be smaller.
const PART: usize = 16 << 20;
/// Parts on their way at the same time.
const IN_FLIGHT: usize = 4;
/// How long the storage may take for one request, its repetitions included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whose variables of the environment are options.
const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// A place in object storage.
pub struct ObjectStorage {
    shared: Arc<Shared>,
    url: String,
}

struct Shared {
    /// Ends without waiting for requests.
    runtime: Option<Runtime>,
    store: Box<dyn ObjectStore>,
    /// Below which all keys are.
    prefix: Path,
}

impl ObjectStorage {
    /// The place for `session` at `url`. The storage is not asked yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the URL, or what the environment says about the storage, makes no sense; [`Error::System`] when no thread
    /// can be started for it.
    pub fn open(url: &str, session: &str) -> Result<Self, Error> {
        let invalid = |cause: String| Error::invalid("--spill-url", url, cause);
        let parsed = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        let options = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let options = options.filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
        let (store, path): (Box<dyn ObjectStore>, Path) = match directory(&parsed) {
            Some(root) => {
                std::fs::create_dir_all(&root).map_err(|error| invalid(error.to_string()))?;
                let store = LocalFileSystem::new_with_prefix(root).map_err(|error| invalid(words(&error)))?;
                (Box::new(store.with_automatic_cleanup(true).with_fsync(true)), Path::default())
            }
            None => object_store::parse_url_opts(&parsed, options).map_err(|error| invalid(words(&error)))?,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("spill-storage").enable_all().build();
        let runtime = Some(runtime.map_err(|error| Error::system("start a thread for object storage", error))?);
        let prefix = path.join(directory_name(session));
        let url = format!("{}/{}", url.trim_end_matches('/'), directory_name(session));
        Ok(Self { shared: Arc::new(Shared { runtime, store, prefix }), url })
    }

    /// Removes all files of `session` at `url`. True when there were any.
    ///
    /// # Errors
    /// What the storage says.
    pub fn sweep(url: &str, session: &str) -> Result<bool, Failure> {
        if Url::parse(url).ok().and_then(|url| directory(&url)).is_some_and(|root| !root.exists()) {
            return Ok(false);
        }
        Self::open(url, session).map_err(|error| Failure::Io(error.to_string()))?.clear()
    }

    /// Removes all files of the session. True when there were any.
    ///
    /// # Errors
    /// What the storage says.
    pub fn clear(&self) -> Result<bool, Failure> {
        let found = self.shared.wait(&self.url, "list", self.shared.store.list_with_delimiter(Some(&self.shared.prefix)))?;
        for object in &found.objects {
            self.shared.delete(&self.url, &object.location)?;
        }
        Ok(!found.objects.is_empty())
    }
}

/// The directory that a URL of the form `file://` names.
fn directory(url: &Url) -> Option<PathBuf> {
    (url.scheme() == "file").then(|| url.to_file_path().ok()).flatten()
}

/// What the files of a session are kept under.
fn directory_name(session: &str) -> String {
    format!("plasmon-{session}")
}

impl Shared {
    /// Waits for a request about `name`.
    fn wait<T>(&self, name: &str, what: &str, request: impl Future<Output = object_store::Result<T>>) -> Result<T, Failure> {
        let Some(runtime) = &self.runtime else { return Err(Failure::Io("the agent ends".to_owned())) };
        match runtime.block_on(async { tokio::time::timeout(PATIENCE, request).await }) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(object_store::Error::NotFound { .. })) => Err(Failure::Corrupt(format!("{name} is missing"))),
            Ok(Err(error)) => Err(Failure::Io(format!("{what} {name}: {}", words(&error)))),
            Err(_) => Err(Failure::Io(format!("{what} {name}: the storage did not answer within {} s", PATIENCE.as_secs()))),
        }
    }

    fn delete(&self, name: &str, key: &Path) -> Result<(), Failure> {
        match self.wait(name, "remove", self.store.delete(key)) {
            Err(Failure::Corrupt(_)) => Ok(()),
            other => other,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An error with its causes, which alone say what happened.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl ObjectStorage {
    fn key(&self, file: SpillFileId) -> Path {
        self.shared.prefix.clone().join(file.0.to_string())
    }
}

impl SpillTarget for ObjectStorage {
    fn create(&self, file: SpillFileId, bytes: u64) -> Result<Box<dyn NewFile>, Failure> {
        let draft = Draft {
            shared: Arc::clone(&self.shared),
            key: self.key(file),
            name: self.name(file),
            bytes,
            upload: Mutex::new(Upload { part: Vec::new(), at: 0, begun: None, flight: VecDeque::new() }),
            kept: false,
        };
        Ok(Box::new(draft))
    }

    fn open(&self, file: SpillFileId) -> Result<Box<dyn OldFile>, Failure> {
        let (key, name) = (self.key(file), self.name(file));
        let bytes = self.shared.wait(&name, "open", self.shared.store.head(&key))?.size;
        Ok(Box::new(Stored { shared: Arc::clone(&self.shared), key, name, bytes }))
    }

    fn delete(&self, file: SpillFileId) -> Result<(), Failure> {
        self.shared.delete(&self.name(file), &self.key(file))
    }

    fn room(&self) -> Result<Option<DiskRoom>, Failure> {
        Ok(None)
    }

    fn name(&self, file: SpillFileId) -> String {
        format!("{}/{file}", self.url)
    }

    fn in_order(&self) -> bool {
        true
    }
}

struct Stored {
    shared: Arc<Shared>,
    key: Path,
    name: String,
    bytes: u64,
}

impl OldFile for Stored {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<usize, Failure> {
        let end = self.bytes.min(at + into.len() as u64);
        if at >= end {
            return Ok(0);
        }
        let found = self.shared.wait(&self.name, "read", self.shared.store.get_range(&self.key, at..end))?;
        let count = found.len().min(into.len());
        if let (Some(into), Some(found)) = (into.get_mut(..count), found.get(..count)) {
            into.copy_from_slice(found);
        }
        Ok(count)
    }
}

/// A file that goes up.
struct Draft {
    shared: Arc<Shared>,
    key: Path,
    name: String,
    bytes: u64,
    upload: Mutex<Upload>,
    kept: bool,
}

struct Upload {
    /// What did not fill a part yet.
    part: Vec<u8>,
    /// Where the next piece belongs.
    at: u64,
    begun: Option<Box<dyn MultipartUpload>>,
    flight: VecDeque<JoinHandle<object_store::Result<()>>>,
}

impl Draft {
    /// Sends the part off, and waits for an earlier one when many are on their way.
    fn send(&self, upload: &mut Upload) -> Result<(), Failure> {
        let Some(runtime) = &self.shared.runtime else { return Err(Failure::Io("the agent ends".to_owned())) };
        if upload.begun.is_none() {
            let begun = self.shared.wait(&self.name, "begin", self.shared.store.put_multipart(&self.key));
            upload.begun = Some(begun.map_err(no_place)?);
        }
        while upload.flight.len() >= IN_FLIGHT {
            self.landed(upload)?;
        }
        let part = std::mem::take(&mut upload.part);
        if let Some(begun) = &mut upload.begun {
            let sent = begun.put_part(PutPayload::from(part));
            upload.flight.push_back(runtime.spawn(sent));
        }
        Ok(())
    }

    /// Waits for the oldest part on its way.
    fn landed(&self, upload: &mut Upload) -> Result<(), Failure> {
        let Some(part) = upload.flight.pop_front() else { return Ok(()) };
        let landed = async { part.await.unwrap_or_else(|error| Err(object_store::Error::JoinError { source: error })) };
        self.shared.wait(&self.name, "write", landed).map_err(no_place)
    }
}

/// What is not there when something is written is the bucket, not a file.
fn no_place(failure: Failure) -> Failure {
    match failure {
        Failure::Corrupt(cause) => Failure::Io(format!("{cause}: is there such a bucket?")),
        other => other,
    }
}

impl NewFile for Draft {
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut upload = self.upload.lock().unwrap_or_else(PoisonError::into_inner);
        if at != upload.at {
            return Err(Failure::Io(format!("write {}: a piece for {at} comes at {}", self.name, upload.at)));
        }
        if upload.part.capacity() == 0 {
            upload.part.reserve_exact(PART.min((self.bytes - at) as usize) + bytes.len());
        }
        upload.part.extend_from_slice(bytes);
        upload.at += bytes.len() as u64;
        if upload.part.len() >= PART && upload.at < self.bytes { self.send(&mut upload) } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        {
            let mut upload = self.upload.lock().unwrap_or_else(PoisonError::into_inner);
            if upload.begun.is_none() {
                let payload = PutPayload::from(std::mem::take(&mut upload.part));
                self.shared.wait(&self.name, "write", self.shared.store.put(&self.key, payload)).map_err(no_place)?;
            } else {
                self.send(&mut upload)?;
                while !upload.flight.is_empty() {
                    self.landed(&mut upload)?;
                }
                if let Some(begun) = &mut upload.begun {
                    self.shared.wait(&self.name, "finish", begun.complete()).map_err(no_place)?;
                }
            }
        }
        self.kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let upload = self.upload.get_mut().unwrap_or_else(PoisonError::into_inner);
        upload.flight.iter().for_each(JoinHandle::abort);
        let called_off = match &mut upload.begun {
            Some(begun) => self.shared.wait(&self.name, "call off", begun.abort()),
            None => Ok(()),
        };
        // It may have arrived although its answer did not.
        if let Err(failure) = called_off.and_then(|()| self.shared.delete(&self.name, &self.key)) {
            tracing::warn!(%failure, "an unfinished spill file may stay in object storage");
        }
    }
}
