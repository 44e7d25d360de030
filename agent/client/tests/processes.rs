//! What programs do to their processes: fork, exec, threads, bad environments, limits. And how all threads of a program learn that its
//! agent is gone.

mod support;

#[path = "processes/agent_end.rs"]
mod agent_end;
#[path = "processes/environment.rs"]
mod environment;
#[path = "processes/fork.rs"]
mod fork;
#[path = "processes/limits.rs"]
mod limits;
#[path = "processes/replaced.rs"]
mod replaced;
#[path = "processes/storm.rs"]
mod storm;
#[path = "processes/worker.rs"]
mod worker;
