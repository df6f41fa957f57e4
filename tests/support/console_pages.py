"""One address of every page of the console, over a desk's day."""

from tests.support.console import Desk


def page_addresses(desk: Desk) -> dict[str, str]:
    """Addresses by the name of their page's template."""
    with desk.app.state.sources.supervision.reading() as book:
        parent = next(parent for parent in book.parents.values() if parent.denied_count)
        child_id = next(key for key in parent.children if book.children[key].fills)
        place = book.children[child_id].decisions[0].place
    return {
        "situation": "/",
        "orders": "/orders",
        "block": f"/orders/{parent.parent_id}",
        "child": f"/orders/{parent.parent_id}/children/{child_id}",
        "limits": "/limits",
        "decisions": "/decisions?outcome=denied",
        "decision": f"/decisions/{place}",
        "stop": "/stop?scope=desk%3Acrypto",
        "guide": "/help",
    }
