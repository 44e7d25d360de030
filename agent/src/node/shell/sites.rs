//! What clients record of call sites, and how that is switched while they run.

use std::ffi::OsStr;

use plasmon_memory::words::CallSites;

use super::{SITES, Shell};

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sites {
    /// They are recorded.
    pub(super) on: bool,
    /// With all that they were called from.
    pub(super) stacks: bool,
}

impl Sites {
    /// By the environment's word for it; a word that is none is as good as no word, but people are told so.
    pub(super) fn told(word: Option<&OsStr>) -> (Self, Option<String>) {
        let sites = Self { on: word.is_none_or(|word| word != "off"), stacks: word.is_some_and(|word| word == "stack") };
        let unknown = word.filter(|word| !["", "on", "off", "stack"].iter().any(|known| word == known));
        let warning =
            |word: &OsStr| format!("{SITES}={} is none of on, off and stack: call sites are recorded as lines", word.to_string_lossy());
        (sites, unknown.map(warning))
    }

    /// Whole stacks where there were lines or nothing, else lines.
    pub(super) fn other_stacks(self) -> Self {
        Self { on: true, stacks: !(self.on && self.stacks) }
    }

    /// What clients are told.
    pub(super) fn wanted(self) -> CallSites {
        match self {
            Self { on: false, .. } => CallSites::Off,
            Self { stacks: false, .. } => CallSites::Lines,
            Self { stacks: true, .. } => CallSites::Stacks,
        }
    }
}

impl Shell {
    /// From here on.
    pub(super) fn switch_sites(&mut self, sites: Sites) {
        self.sites = sites;
        let wanted = sites.wanted();
        for peer in self.effects.peers.values() {
            peer.link.words().set_sites(wanted);
        }
        self.core.on_sites_switched(match wanted {
            CallSites::Off => "off",
            CallSites::Lines => "on",
            CallSites::Stacks => "on, with whole stacks",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_what_is_recorded_at_first() {
        let told = |word: Option<&str>| Sites::told(word.map(OsStr::new)).0.wanted();
        assert_eq!(
            [None, Some("off"), Some("stack"), Some("on")].map(told),
            [CallSites::Lines, CallSites::Off, CallSites::Stacks, CallSites::Lines]
        );
        let (stak, warning) = Sites::told(Some(OsStr::new("stak")));
        assert_eq!(stak.wanted(), CallSites::Lines);
        assert!(warning.is_some_and(|warning| warning.contains("PLASMON_SITES=stak ")));
        assert_eq!(Sites::told(Some(OsStr::new("stack"))).1, None);
    }

    #[test]
    fn stacks_are_switched_on_wherever_there_are_none() {
        let sites = |on, stacks| Sites { on, stacks }.other_stacks().wanted();
        assert_eq!(
            [sites(true, false), sites(true, true), sites(false, true), sites(false, false)],
            [CallSites::Stacks, CallSites::Lines, CallSites::Stacks, CallSites::Stacks]
        );
    }
}
