//! Which task runs when: dependencies, resources and the queue of each job. Pure.

pub mod queue;
pub mod resources;
pub mod task;
