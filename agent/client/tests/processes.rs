//! What programs do to their processes: fork, exec, threads, bad environments, limits. And how all threads of a program learn that its
//! agent is gone.

mod support;

#[path = "processes/agent_end.rs"]
mod agent_end;
#[path = "processes/fork.rs"]
mod fork;
#[path = "processes/storm.rs"]
mod storm;
