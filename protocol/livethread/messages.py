"""Every message of the wire, gathered: commands, replies and events by their types.

Structs say what may travel; they never know bytes, connections or the rules of a thread. The server refuses
unknown fields of commands; clients ignore unknown fields and types of replies and events.
"""

from __future__ import annotations

from livethread.commands import Cancel as Cancel
from livethread.commands import Command as Command
from livethread.commands import Evict as Evict
from livethread.commands import Generate as Generate
from livethread.commands import Hello as Hello
from livethread.commands import IfBusyGenerate as IfBusyGenerate
from livethread.commands import IfBusyMutate as IfBusyMutate
from livethread.commands import Key as Key
from livethread.commands import Mutate as Mutate
from livethread.commands import Ping as Ping
from livethread.commands import Presence as Presence
from livethread.commands import ReadDraft as ReadDraft
from livethread.commands import Runs as Runs
from livethread.commands import ShareRole as ShareRole
from livethread.commands import Since as Since
from livethread.commands import Subscribe as Subscribe
from livethread.commands import TaskCancel as TaskCancel
from livethread.commands import TaskCreate as TaskCreate
from livethread.commands import TaskGet as TaskGet
from livethread.commands import TaskList as TaskList
from livethread.commands import ThreadCommand as ThreadCommand
from livethread.commands import ThreadCreate as ThreadCreate
from livethread.commands import ThreadDelete as ThreadDelete
from livethread.commands import ThreadFork as ThreadFork
from livethread.commands import ThreadGet as ThreadGet
from livethread.commands import ThreadList as ThreadList
from livethread.commands import ThreadShare as ThreadShare
from livethread.commands import ThreadUpdate as ThreadUpdate
from livethread.commands import Title as Title
from livethread.commands import Unsubscribe as Unsubscribe
from livethread.commands import Version as Version
from livethread.commands import Warm as Warm
from livethread.commands import Watch as Watch
from livethread.events import DurableEvent as DurableEvent
from livethread.events import Event as Event
from livethread.events import Here as Here
from livethread.events import PresenceChanged as PresenceChanged
from livethread.events import RunDelta as RunDelta
from livethread.events import RunFinished as RunFinished
from livethread.events import RunProgress as RunProgress
from livethread.events import RunQueued as RunQueued
from livethread.events import RunRecovered as RunRecovered
from livethread.events import RunStarted as RunStarted
from livethread.events import TaskDelta as TaskDelta
from livethread.events import TaskEvent as TaskEvent
from livethread.events import TaskUpdated as TaskUpdated
from livethread.events import ThreadChanged as ThreadChanged
from livethread.events import ThreadCreated as ThreadCreated
from livethread.events import ThreadDeleted as ThreadDeleted
from livethread.events import ThreadGone as ThreadGone
from livethread.events import ThreadMutated as ThreadMutated
from livethread.events import ThreadResidency as ThreadResidency
from livethread.events import ThreadUpdated as ThreadUpdated
from livethread.ops import Append as Append
from livethread.ops import Appended as Appended
from livethread.ops import AppliedOp as AppliedOp
from livethread.ops import Delete as Delete
from livethread.ops import Deleted as Deleted
from livethread.ops import Draft as Draft
from livethread.ops import Edit as Edit
from livethread.ops import Edited as Edited
from livethread.ops import Insert as Insert
from livethread.ops import Inserted as Inserted
from livethread.ops import Op as Op
from livethread.ops import Truncate as Truncate
from livethread.ops import Truncated as Truncated
from livethread.replies import CancelOk as CancelOk
from livethread.replies import Empty as Empty
from livethread.replies import ErrorBody as ErrorBody
from livethread.replies import GenerateOk as GenerateOk
from livethread.replies import HelloOk as HelloOk
from livethread.replies import Limits as Limits
from livethread.replies import MutateOk as MutateOk
from livethread.replies import Reply as Reply
from livethread.replies import ResidencyOk as ResidencyOk
from livethread.replies import Reuse as Reuse
from livethread.replies import RunSnapshot as RunSnapshot
from livethread.replies import RunsOk as RunsOk
from livethread.replies import ShareOk as ShareOk
from livethread.replies import SubscribeOk as SubscribeOk
from livethread.replies import ThreadGetOk as ThreadGetOk
from livethread.replies import ThreadListOk as ThreadListOk
from livethread.replies import ThreadOk as ThreadOk
from livethread.replies import VersionOk as VersionOk

COMMANDS: dict[str, type[Command]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Hello,
        Ping,
        Watch,
        ThreadCreate,
        ThreadGet,
        ThreadList,
        ThreadUpdate,
        ThreadDelete,
        ThreadShare,
        ThreadFork,
        Subscribe,
        Unsubscribe,
        Mutate,
        Generate,
        ReadDraft,
        Warm,
        Evict,
        Cancel,
        Runs,
        Presence,
        TaskCreate,
        TaskGet,
        TaskList,
        TaskCancel,
    )
}
"""Every command of this version by its type."""

EVENTS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        ThreadUpdated,
        ThreadDeleted,
        ThreadMutated,
        RunQueued,
        RunStarted,
        RunRecovered,
        RunFinished,
        RunProgress,
        RunDelta,
        ThreadResidency,
        PresenceChanged,
        ThreadCreated,
    )
}
"""Every event of this version by its type, as subscribers get it."""

SUMMARIES: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind for kind in (ThreadCreated, ThreadChanged, ThreadGone)
}
"""What those get who watch: the events without a ``seq`` of types that subscribers get with one."""

TASK_EVENTS: dict[str, type[TaskEvent]] = {str(kind.__struct_config__.tag): kind for kind in (TaskUpdated, TaskDelta)}
"""What the makers of tasks are told who asked for that."""

AnyEvent = (
    ThreadUpdated
    | ThreadDeleted
    | ThreadMutated
    | RunQueued
    | RunStarted
    | RunRecovered
    | RunFinished
    | RunProgress
    | RunDelta
    | ThreadResidency
    | PresenceChanged
    | ThreadCreated
    | ThreadChanged
    | ThreadGone
)
