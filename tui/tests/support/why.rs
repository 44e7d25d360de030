//! A ring of waits in the sample, as the agent tells it.

use plasmon_protocol::explain::{Answer, Cycle, Edge, Explanation, Kind, Node, Subject};
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::stream::Target;

use crate::agent::Agent;
use crate::sample::NOW_MS;

fn node(id: &str, kind: Kind, label: &str, state: &str) -> Node {
    Node { id: id.into(), kind, label: label.to_owned(), state: state.to_owned(), ..Node::default() }
}

fn edge(from: &str, to: &str, reason: &str) -> Edge {
    Edge { from: from.into(), to: to.into(), reason: reason.to_owned() }
}

/// What is told of anything.
pub(crate) fn explain(agent: &Agent, subject: &Subject) -> Option<Explanation> {
    if agent.tasks.is_empty() {
        return Some(Explanation::default());
    }
    let task = |at: usize| agent.tasks.get(at).map(|row| Target::Task(row.task_id));
    let stuck = |node: Node| Node { stuck: true, ..node };
    let nodes = vec![
        stuck(Node {
            since_ms: Some(NOW_MS - 12_000),
            opens: task(0),
            ..node("task:a", Kind::Task, "task merge_all …0100000004", "PENDING_NODE_ASSIGNMENT")
        }),
        node("resource:memory", Kind::Resource, "memory", "1 GiB of 1.25 GiB reserved"),
        stuck(Node {
            opens: Some(Target::Process(ProcessId(2))),
            ..node("process:2", Kind::Process, "process 4715 (merge)", "blocked, reserves 600 MiB memory")
        }),
        stuck(Node {
            opens: agent.objects.first().map(|row| Target::Object(row.object_id)),
            since_ms: Some(NOW_MS - 12_000),
            ..node("object:x", Kind::Object, "object …0100000400", "PENDING")
        }),
        Node {
            opens: Some(Target::Process(ProcessId(3))),
            more: 2,
            ..node("process:3", Kind::Process, "process 4716 (actor Cache 'cache')", "idle, reserves 424 MiB memory")
        },
    ];
    let edges = vec![
        edge("task:a", "resource:memory", "lacks 344 MiB of"),
        edge("resource:memory", "process:2", "held by"),
        edge("resource:memory", "process:3", "held by"),
        edge("process:2", "object:x", "gets"),
        edge("object:x", "task:a", "made by"),
    ];
    let sentence = "deadlock: task merge_all …0100000004 lacks 344 MiB of memory, held by process 4715 (merge), which \
                    gets object …0100000400, made by that same task merge_all …0100000004";
    let cycle =
        Cycle { nodes: ["task:a", "resource:memory", "process:2", "object:x"].map(Into::into).to_vec(), sentence: sentence.to_owned() };
    let answer = Answer {
        node: "task:a".into(),
        verdict: "task merge_all …0100000004 waits for 344 MiB memory more; task merge in process 4715 holds 600 MiB memory, actor Cache \
                  'cache' in process 4716 holds 424 MiB memory"
            .to_owned(),
        since_ms: Some(NOW_MS - 12_000),
        ended: false,
        others: 3,
    };
    let more = u64::from(*subject == Subject::Everything) * 2;
    Some(Explanation { subject: None, answers: vec![answer], cycles: vec![cycle], nodes, edges, more })
}
