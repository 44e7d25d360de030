//! The closed sets of words that rows are made of.

/// A closed set of words with one spelling everywhere: in JSON, in reports and in filters.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Their spellings, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The one spelling.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

pub(crate) use words;

words!(
    /// Why a process's reference keeps an object alive: the first that holds, in this order (Ray's memory page).
    #[derive(Default)]
    ReferenceType {
        /// The process holds a handle to an actor.
        ActorHandle = "ACTOR_HANDLE",
        /// The process holds a view into the object's memory.
        PinnedInMemory = "PINNED_IN_MEMORY",
        /// A task that the process submitted needs the object and has not ended.
        UsedByPendingTask = "USED_BY_PENDING_TASK",
        /// The process holds a handle.
        #[default]
        LocalReference = "LOCAL_REFERENCE",
        /// The reference lies inside an object that the process put.
        CapturedInObject = "CAPTURED_IN_OBJECT",
    }
);

words!(
    /// What a process is.
    #[derive(Default)]
    ProcessType {
        /// Runs a user's program.
        #[default]
        Driver = "driver",
        /// Runs tasks.
        Worker = "worker",
        /// Runs the store and the scheduler.
        Agent = "agent",
    }
);

words!(
    /// Where a task is in its life (Ray's names).
    #[derive(Default)]
    TaskStatus {
        /// Waits for objects that it depends on.
        #[default]
        PendingArgsAvail = "PENDING_ARGS_AVAIL",
        /// Waits for resources or for a worker.
        PendingNodeAssignment = "PENDING_NODE_ASSIGNMENT",
        /// Asks for more than the node has.
        Infeasible = "INFEASIBLE",
        /// Waits until the arguments of others leave room for its own in the store.
        PendingObjStoreMemAvail = "PENDING_OBJ_STORE_MEM_AVAIL",
        /// Its arguments are being read back from external storage.
        PendingArgsFetch = "PENDING_ARGS_FETCH",
        /// Sent to a worker that has not begun.
        SubmittedToWorker = "SUBMITTED_TO_WORKER",
        /// Runs.
        Running = "RUNNING",
        /// Ended with its results stored.
        Finished = "FINISHED",
        /// Ended with an error.
        Failed = "FAILED",
    }
);

words!(
    /// Where an actor is in its life (Ray's names).
    #[derive(Default)]
    ActorStatus {
        /// Its constructor has not ended.
        #[default]
        PendingCreation = "PENDING_CREATION",
        /// It takes calls.
        Alive = "ALIVE",
        /// Its worker died, and it is being made anew.
        Restarting = "RESTARTING",
        /// It ended, as it should or not.
        Dead = "DEAD",
    }
);

words!(
    /// Where an object's value is.
    #[derive(Default)]
    ObjectState {
        /// Not made yet.
        #[default]
        Pending = "PENDING",
        /// In the pool, and nowhere else: the primary copy.
        InMemory = "IN_MEMORY",
        /// In the pool, and being written to external storage.
        Spilling = "SPILLING",
        /// In the pool, beside the copy in external storage: it can be dropped at once when its place is needed.
        InMemoryCopy = "IN_MEMORY_COPY",
        /// In external storage only.
        Spilled = "SPILLED",
        /// Being read from external storage into the pool.
        Restoring = "RESTORING",
        /// Small enough to live in the agent's heap.
        Inlined = "INLINED",
        /// It has no value: the handles of a live actor refer to it.
        Actor = "ACTOR",
        /// The task that should have made it failed; the error is its value.
        Failed = "FAILED",
    }
);

words!(
    /// How a reference came to be, as Ray writes it before the call site.
    #[derive(Default)]
    SiteKind {
        /// Nothing is known.
        #[default]
        Unknown = "",
        /// `put` or `create`.
        PutObject = "(put object)",
        /// `.remote()` of a function.
        TaskCall = "(task call)",
        /// `.remote()` of an actor's method.
        ActorCall = "(actor call)",
        /// Found inside a task's argument.
        DeserializeTaskArg = "(deserialize task arg)",
        /// Found inside an actor call's argument.
        DeserializeActorTaskArg = "(deserialize actor task arg)",
        /// Found inside an object that was got.
        DeserializeObject = "(deserialize object)",
        /// A view taken by `get`.
        GetObject = "(get object)",
        /// A frame of a stack: references came to be in what was called from there.
        Frame = "(frame)",
    }
);

words!(
    /// What happened.
    #[derive(Default)]
    EventKind {
        /// The agent is ready.
        #[default]
        AgentStarted = "agent_started",
        /// A driver connected.
        DriverConnected = "driver_connected",
        /// A driver ended.
        DriverEnded = "driver_ended",
        /// A worker is ready.
        WorkerStarted = "worker_started",
        /// A worker ended as told.
        WorkerEnded = "worker_ended",
        /// A process died unasked.
        ProcessDied = "process_died",
        /// A process broke the protocol and was dropped.
        ProcessDropped = "process_dropped",
        /// An actor takes calls.
        ActorCreated = "actor_created",
        /// An actor ended as it should.
        ActorEnded = "actor_ended",
        /// An actor was killed, crashed, or could not be created.
        ActorDied = "actor_died",
        /// An actor's worker died, and it is made anew.
        ActorRestarted = "actor_restarted",
        /// A task was cancelled, or took too long.
        TaskCancelled = "task_cancelled",
        /// A result was lost, and its task runs again.
        TaskRebuilt = "task_rebuilt",
        /// A task failed.
        TaskFailed = "task_failed",
        /// A task is tried again.
        TaskRetried = "task_retried",
        /// A task asks for more than the node has.
        Infeasible = "infeasible",
        /// A create waits for room.
        CreateQueued = "create_queued",
        /// A create found no room in time.
        StoreFull = "store_full",
        /// Objects were written to external storage.
        Spilled = "spilled",
        /// Objects were read back from external storage.
        Restored = "restored",
        /// Spilling stopped, or goes on.
        SpillState = "spill_state",
        /// An object could not be read back.
        ObjectLost = "object_lost",
        /// The live part of a spill file was written anew, or the file was removed.
        SpillFile = "spill_file",
        /// The same objects are spilled and restored again and again.
        Thrash = "thrash",
        /// Some wait for each other, and none of them will go on.
        Deadlock = "deadlock",
        /// Idle leases were called back.
        LeasesRecalled = "leases_recalled",
        /// Something that the agent noticed about itself or the machine.
        Notice = "notice",
        /// Memory ran out, and a worker was ended, or would have been.
        OutOfMemory = "out_of_memory",
    }
);

words!(
    /// Where a spill file is in its life.
    #[derive(Default)]
    SpillFileState {
        /// Being written; its objects are still in memory.
        #[default]
        Writing = "writing",
        /// Written and synced.
        Ready = "ready",
        /// Its live part is being written into another file.
        Compacting = "compacting",
        /// Nothing in it lives; it is being removed.
        Deleting = "deleting",
    }
);

words!(
    /// Why objects were spilled.
    #[derive(Default)]
    SpillCause {
        /// Primary copies took up more of the store than the threshold.
        #[default]
        Threshold = "threshold",
        /// A create found no room.
        Create = "create",
        /// A get needed room for an object that was spilled before.
        Restore = "restore",
        /// Less than half of another file was live.
        Compaction = "compaction",
    }
);

words!(
    /// Why a file was cut where it was.
    #[derive(Default)]
    SpillCut {
        /// It has all that was to be spilled at that moment.
        #[default]
        Enough = "enough",
        /// It has as many objects as a file may have.
        Objects = "object limit",
        /// The next object would have made it too large.
        Size = "file size limit",
        /// Nothing more could be spilled.
        Exhausted = "nothing more to spill",
    }
);

words!(
    /// How much attention an event asks for.
    #[derive(Default)]
    Severity {
        /// None.
        #[default]
        Info = "info",
        /// Some.
        Warning = "warning",
        /// At once.
        Error = "error",
    }
);
