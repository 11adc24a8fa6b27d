"""The change feed: what edges must hear of, in the order in which it was committed."""

from core.feed.change_log import Change, ChangeKind, RecallKind, record_change
from core.feed.poller import ChangeFeed, FeedUpdate

__all__ = ["Change", "ChangeFeed", "ChangeKind", "FeedUpdate", "RecallKind", "record_change"]
