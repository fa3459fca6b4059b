"""A fast OpenAI-compatible endpoint on loopback that fails on demand.

Every behaviour is chosen by the URL, so any client with a base URL can be tested against it:

    http://127.0.0.1:PORT/v1                  answers well and at once
    http://127.0.0.1:PORT/o/OPTIONS/v1        options, joined by `-`

Paths: `/chat/completions`, `/embeddings`, `/models`, with or without a version such as `/v1`
before them; `/stats` counts, `/reset` starts anew. The rest is 404.
In tests: `with Endpoint() as endpoint: endpoint.url("s429.ok-ra1")`.
By itself: `python -m pytest_scillm.endpoint --port 0` prints `READY <port>`.

Options for good answers:

    lat50        answer after 50 ms; lat0.5; lat50~20 varies by 20 ms in a fixed sequence
    n2000        a stream of 2,000 content chunks (20 without it)
    gap1         1 ms between chunks; gap0 one turn of the loop; without it all is written at once
    echo         the content is that of the last message
    sz4000       content of 4,000 characters (256 without it)
    json1..4     content that is nearly JSON: 1 fenced, 2 trailing commas, 3 cut, 4 prose around it
    tool tools2  one tool call; two, streamed in parallel
    reason       reasoning_content before the content
    refusal      a refusal instead of content
    choices3     three choices
    logprobs     log probabilities for each token
    nousage      no usage
    idXYZ        anything: an URL, hence counters, of its own

Options for faults (a step is a word of the table below, or a status from 400 to 599):

    s429.503.ok  a script: one step per request, then good answers
    every10.429  every 10th request is that step
    STEP         a step by itself, for example `trunc`: each request that no script speaks for
    redir302.HOST  every request is redirected, to HOST (with port, without `-`) or, without HOST,
                 to this endpoint without options; 301, 303, 307, 308 too; also as steps
    ra2 ram50 rad  on errors: retry-after of 2 s; retry-after-ms of 50; an HTTP date 1 s ahead
    pause100     `slow` waits 100 ms (2,000 without it)

Steps:

    ok           a good answer
    ctx policy quota  400 context_length_exceeded, 400 content_policy_violation,
                 429 insufficient_quota
    leak         401 whose message quotes the authorization header
    xkey bearer  good if the key comes as x-api-key; as Authorization: Bearer; else 401
    capacity     500 that says in its body that there is no capacity
    gateway      502 with an HTML page          html      200 with an HTML page
    bad          200 with malformed JSON        empty     200 with no choices
    badutf8      bytes that are not UTF-8       nan       a bare NaN in the JSON
    wrongtype    good, but a stream under text/html and JSON under text/plain
    whole        whole, though a stream was asked for
    trunc        fewer bytes than content-length says, then closed
    mid          half of the stream or body, then closed
    stall        half of the stream or body, then nothing
    slow         the head at once, the body after `pause`
    hang         never answers                  drop      closed without a byte
    reset        closed with a TCP reset        close     good, then closed without saying so
    huge         1 GiB in chunks                hugelen   1 GiB announced by content-length
    bomb         1 MiB of gzip that is 1 GiB inflated
    cutsse       a stream that ends without finish_reason and [DONE] (whole: half of the JSON)
    nodone       a stream that ends with finish_reason, without [DONE] and a last blank line
    errsse       an error object after two chunks (whole: an error object with status 200)
    endless      a stream without end (whole: white space without end)
    u2028        `NASTY_TEXT` in every form that server-sent events may take, cut within characters
                 and line ends
"""

from .server import Endpoint
from .shapes import NASTY_TEXT, REASONING, REFUSAL, TEXT
from .vectors import embedding_of
from .wire import Received

__all__ = [
    "NASTY_TEXT",
    "REASONING",
    "REFUSAL",
    "TEXT",
    "Endpoint",
    "Received",
    "embedding_of",
]
