"""REST doors of signing in and out, for programs; people use the sign-in page."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from controlplane.identity.guard import FORM_TOKEN_HEADER, cookie_header, session_cookie, session_of, visitor_of
from controlplane.identity.people import Session, form_token
from controlplane.identity.service import Identity


class SignInRequest(BaseModel):
    """Name and password of a local account."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=256)


class SessionView(BaseModel):
    """The session as its owner may see it."""

    name: str
    title: str
    started_ns: str = Field(description="Start, nanoseconds since the epoch in UTC, as decimal text.")
    form_token: str = Field(
        description=f"Goes into the header {FORM_TOKEN_HEADER} of every request that changes something."
    )


def router(identity: Identity) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/session", tags=["session"])

    @routes.post("", summary="Sign in", status_code=201)
    def sign_in(body: SignInRequest, request: Request, response: Response) -> SessionView:
        visitor = visitor_of(request.scope)
        signed_in = identity.sign_in(
            body.name, body.password, address=visitor.caller.address, replaces=visitor.secret or None
        )
        response.headers["set-cookie"] = session_cookie(visitor, signed_in.secret)
        return view_of(signed_in.session, signed_in.secret)

    @routes.get("", summary="Who is signed in")
    def read(request: Request) -> SessionView:
        visitor = visitor_of(request.scope)
        return view_of(session_of(visitor), visitor.secret)

    @routes.delete("", summary="Sign out", status_code=204)
    def sign_out(request: Request, response: Response) -> None:
        visitor = visitor_of(request.scope)
        identity.sign_out(visitor.secret)
        response.headers["set-cookie"] = cookie_header("", host=visitor.caller.host, seconds=0)

    return routes


def view_of(session: Session, secret: str) -> SessionView:
    """The session as its owner may see it."""
    return SessionView(
        name=session.person.name,
        title=session.person.title,
        started_ns=str(session.started_ns),
        form_token=form_token(secret),
    )
