//! What people may call something by.

use plasmon_protocol::explain::MAX_NAME;
use plasmon_protocol::id::{ActorId, ObjectId, TaskId};

use super::{Core, Key};

/// Fewer digits than this name nothing: they would fit by chance.
const MIN_DIGITS: usize = 4;

/// The beginning and the end of an id.
struct Digits<'a> {
    start: &'a str,
    end: &'a str,
}

impl<'a> Digits<'a> {
    /// `7f3a…0001`, `7f3a0` for a beginning, `…0001` for an end.
    fn of(text: &'a str) -> Option<Self> {
        let (start, end) = text.split_once('…').or_else(|| text.split_once("..")).unwrap_or((text, ""));
        let hex = |part: &str| part.bytes().all(|digit| digit.is_ascii_hexdigit());
        let enough = start.len().max(end.len()) >= MIN_DIGITS;
        (enough && hex(start) && hex(end)).then_some(Self { start, end })
    }

    fn fits(&self, hex: &str) -> bool {
        let starts = hex.get(..self.start.len()).is_some_and(|start| start.eq_ignore_ascii_case(self.start));
        let from = hex.len().checked_sub(self.end.len());
        starts && from.and_then(|from| hex.get(from..)).is_some_and(|end| end.eq_ignore_ascii_case(self.end))
    }

    /// The digits alone may be an id's end, as screens show it.
    fn as_end(&self) -> Option<Digits<'a>> {
        self.end.is_empty().then_some(Digits { start: "", end: self.start })
    }
}

impl Core {
    /// All that is called so. Tasks before objects: who waits comes before what is waited for.
    pub(super) fn named(&self, text: &str) -> Vec<Key> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_NAME {
            return Vec::new();
        }
        if let Some(actor) = self.actor_names.get(text) {
            return vec![Key::Actor(*actor)];
        }
        if let Some(pid) = text.strip_prefix("pid:") {
            let Ok(pid) = pid.parse::<u32>() else { return Vec::new() };
            return self.living_processes().filter(|(_, process)| pid != 0 && process.pid == pid).map(|(id, _)| Key::Process(id)).collect();
        }
        let (kind, digits) = text.split_once(':').unwrap_or(("", text));
        let (tasks, objects, actors) = match kind {
            "" => (true, true, true),
            "task" => (true, false, false),
            "object" => (false, true, false),
            "actor" => (false, false, true),
            _ => return Vec::new(),
        };
        let mut exact = Vec::new();
        if let Some(id) = digits.parse::<TaskId>().ok().filter(|id| tasks && id.node() == self.config.node) {
            exact.push(Key::Task(id.key()));
        }
        if let Some(id) = digits.parse::<ActorId>().ok().filter(|id| id.node() == self.config.node) {
            match self.key_of_object(ObjectId(id.0).key()) {
                key @ Key::Actor(_) if actors => exact.push(key),
                key @ Key::Object(_) if objects => exact.push(key),
                _ => {}
            }
        }
        exact.retain(|key| self.is_there(*key));
        if !exact.is_empty() {
            return exact;
        }
        let Some(digits) = Digits::of(digits) else { return Vec::new() };
        let found = self.fitting(&digits, (tasks, objects, actors));
        match digits.as_end().filter(|_| found.is_empty()) {
            Some(end) => self.fitting(&end, (tasks, objects, actors)),
            None => found,
        }
    }

    fn fitting(&self, digits: &Digits<'_>, (tasks, objects, actors): (bool, bool, bool)) -> Vec<Key> {
        let node = self.config.node;
        let mut found = Vec::new();
        if tasks {
            let all = self.tasks.keys().filter(|key| digits.fits(&key.on(node).hex()));
            found.extend(all.map(Key::Task));
        }
        if actors {
            let all = self.actors.values().map(|actor| &actor.key).filter(|key| digits.fits(&key.on(node).hex()));
            found.extend(all.map(|key| Key::Actor(*key)));
        }
        if objects {
            let all = self.visible().filter(|(key, object)| !object.actor && digits.fits(&key.on(node).hex()));
            found.extend(all.map(|(key, _)| Key::Object(key)));
        }
        found.sort_unstable();
        found
    }
}
