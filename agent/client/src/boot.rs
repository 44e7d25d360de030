//! Takes control before `main` when this executable was started as a worker or as an agent, so that neither the body of `main` nor
//! a test harness ever runs there.
#![cfg_attr(feature = "before-main", expect(unsafe_code, reason = "a function that runs before main"))]

use std::process::ExitCode;
#[cfg(feature = "before-main")]
use std::sync::atomic::{AtomicBool, Ordering};

use plasmon_memory::channel::{Channel, inherit, open_standard};
#[cfg(feature = "before-main")]
use plasmon_protocol::local::BOOT;

#[cfg(feature = "before-main")]
static RAN: AtomicBool = AtomicBool::new(false);

/// The loader calls this before `main`.
///
// SAFETY: the section holds pointers to functions of this type. Nothing here needs what Rust sets up for `main`: arguments and
// environment come from the C library, which is ready by then.
#[cfg(feature = "before-main")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

/// Makes sure that the linker keeps [`BEFORE_MAIN`], and that it ran.
#[cfg(feature = "before-main")]
pub(crate) fn took_care() -> bool {
    std::hint::black_box(&BEFORE_MAIN);
    RAN.load(Ordering::Relaxed)
}

/// Nobody takes control: whoever loads this library asks for it.
#[cfg(not(feature = "before-main"))]
pub(crate) fn took_care() -> bool {
    true
}

#[cfg(feature = "before-main")]
extern "C" fn before_main() {
    RAN.store(true, Ordering::Relaxed);
    let Ok(boot) = std::env::var(BOOT) else { return };
    // SAFETY: before `main` there is one thread.
    unsafe { std::env::remove_var(BOOT) };
    if let Some(code) = run(&boot) {
        std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 2 });
    }
}

/// The whole life of the worker or agent that `boot`, the value of [`BOOT`](plasmon_protocol::local::BOOT), says this process is; `None`
/// when it is neither.
pub(crate) fn run(boot: &str) -> Option<ExitCode> {
    let (role, fd) = boot.split_once(':')?;
    // A descriptor that did not come from the agent means: a child of a worker, an ordinary program again.
    let channel = Channel::from_fd(inherit(fd.parse().ok()?).ok()?);
    // A starter without standard streams has none to pass on; without `/dev/null` there is nothing better.
    let _ = open_standard();
    // Else tools would show the number of a descriptor, by which the executable was opened.
    let _ = rustix::thread::set_name(if role == "agent" { c"plasmon-agent" } else { c"plasmon-worker" });
    if role == "worker" {
        // Also where this process is stopped, or the thread that watches the socket gets no turn. An agent that is gone already is seen
        // by the socket.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    }
    let code = std::panic::catch_unwind(|| match role {
        "worker" => crate::worker::main(channel),
        #[cfg(feature = "embedded")]
        "agent" => match plasmon_agent::embedded::run(&channel) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(2),
        },
        _ => ExitCode::from(2),
    });
    Some(code.unwrap_or(ExitCode::from(2)))
}
