%% SPDX-License-Identifier: Apache-2.0
%% @doc Descriptors of the VM, and how one comes to Python.
%%
%% Each descriptor has one owner.  A copy that `dup/1' makes is the caller's, who
%% closes it or gives it away; `give/5' gives it away only if its answer is `ok',
%% and else Python has closed what it had been sent.  See docs/reactor.md.
-module(py_fd).

-export([dup/1, close/1, is_fd/1]).
-export([give/5, claim/0, revoke/1, is_claimed/1]).

-export_type([claim/0]).

-include("../../port/py_wire.hrl").

%% What the helper chooses is below (c_src/helper/segment_open.c).
-define(TOKENS, (1 bsl 63)).
%% The helper may be replaced between the descriptor and the request: then it says
%% that nothing came.
-define(TRIES, 4).

-define(OPEN, 0).
-define(TAKEN, 1).
-define(REVOKED, 2).
-define(IN_USE, 3).

-opaque claim() :: atomics:atomics_ref().
%% Whose a descriptor is that is being given away: its first owner's, until
%% either `give/5' takes it, or the owner revokes; then it stays what it is.  While
%% `give/5' uses the number, which must not become another descriptor's, its owner
%% waits with that.

-record(gift, {context :: pid(), fd :: pos_integer(), claim :: claim(), args :: [term()],
               deadline :: py_request:deadline(), tries = ?TRIES :: non_neg_integer()}).

%% @doc A copy, close-on-exec, which is the caller's.
-spec dup(term()) -> {ok, pos_integer()} | {error, term()}.
dup(Fd) when is_integer(Fd), Fd >= 0, Fd < 1 bsl 31 -> py_port:dup_fd(Fd);
dup(Other) -> {error, {invalid, fd, Other}}.

%% @doc Close such a copy.
-spec close(term()) -> ok | {error, term()}.
close(Fd) ->
    case is_fd(Fd) of
        true -> py_port:close_fd(Fd);
        false -> {error, {invalid, fd, Fd}}
    end.

%% @doc Can it be a copy?  Those of the standard streams can not.
-spec is_fd(term()) -> boolean().
is_fd(Fd) ->
    is_integer(Fd) andalso Fd > 2 andalso Fd < 1 bsl 31.

%% @doc For a descriptor that still is its owner's.
-spec claim() -> claim().
claim() ->
    atomics:new(1, []).

%% @doc It stays its owner's; `false': it has been taken.
-spec revoke(claim()) -> boolean().
revoke(Claim) ->
    case atomics:compare_exchange(Claim, 1, ?OPEN, ?REVOKED) of
        ok -> true;
        ?IN_USE -> % for one system call
            true = erlang:yield(),
            revoke(Claim);
        _ -> false
    end.

%% @doc Has it been taken or revoked?
-spec is_claimed(claim()) -> boolean().
is_claimed(Claim) ->
    lists:member(atomics:get(Claim, 1), [?TAKEN, ?REVOKED]).

take(Claim) ->
    atomics:compare_exchange(Claim, 1, ?OPEN, ?TAKEN) =:= ok.

%% Do this as long as the number is the owner's.
using(Claim, Use) ->
    case atomics:compare_exchange(Claim, 1, ?OPEN, ?IN_USE) of
        ok ->
            try
                Use()
            after
                ok = atomics:put(Claim, 1, ?OPEN)
            end;
        _ ->
            revoked
    end.

%% @doc Give a descriptor to Python: `erlang._adopt.adopt(Token, *Args)' runs on the
%% context's event loop and says what became of it.
%%
%% `ok': Python has it, and the VM's copy is closed.  Anything else: Python has it
%% not, and the copy is still its owner's; `{ok, What}' is what Python said.  If
%% Python may still have it when this returns, the fun makes sure that it has not; it
%% waits for Python.
-spec give(pid(), pos_integer(), claim(), [term()], py_request:deadline()) ->
    {ok | {ok, term()} | {error, term()}, fun(() -> ok)}.
give(Context, Fd, Claim, Args, Deadline) ->
    try_it(#gift{context = Context, fd = Fd, claim = Claim, args = Args,
                 deadline = py_request:deadline(Deadline)}).

try_it(#gift{tries = 0}) ->
    {{error, not_received}, fun nothing/0};
try_it(#gift{context = Context, deadline = Deadline} = Gift) ->
    case py_caller:await(Context, py_request:left(Deadline)) of
        ok -> send(py_registry:find(Context), Gift);
        {error, _} = Error -> {Error, fun nothing/0}
    end.

%% Until its context knows that a helper is down, there is nothing but to ask it again.
send({ready, Port, _, _, _}, Gift) ->
    case py_grants:may_have_fds(Port) of
        true -> pass(Port, Gift);
        false -> {{error, {denied, fd}}, fun nothing/0};
        gone -> try_it(Gift)
    end;
send(_, Gift) ->
    try_it(Gift).

pass(Port, #gift{fd = Fd, claim = Claim} = Gift) ->
    Token = ?TOKENS bor (erlang:unique_integer([positive]) band (?TOKENS - 1)),
    case using(Claim, fun() -> py_port:pass(Port, Token, Fd) end) of
        revoked -> {{error, timeout}, fun nothing/0};
        ok -> answered(ask(Token, Gift), Token, Gift);
        busy -> {{error, busy}, fun nothing/0};
        {error, <<"down">>} -> try_it(Gift);
        {error, <<"ebadf">>} -> {{error, ebadf}, fun nothing/0};
        {error, Why} -> {{error, {refused, Why}}, fun nothing/0}
    end.

answered({ok, <<"taken">>}, Token, #gift{fd = Fd, claim = Claim} = Gift) ->
    case take(Claim) of
        true ->
            _ = py_port:close_fd(Fd),
            {ok, fun nothing/0};
        false ->
            {{error, timeout}, forget(Token, Gift)}
    end;
answered({ok, <<"missing">>}, _, #gift{tries = Tries} = Gift) ->
    try_it(Gift#gift{tries = Tries - 1});
answered({ok, What}, _, _) ->
    {{ok, What}, fun nothing/0};
answered({error, _} = Error, Token, Gift) ->
    {Error, forget(Token, Gift)}.

ask(Token, #gift{args = Args, deadline = Deadline} = Gift) ->
    call(<<"adopt">>, [Token | Args], ?FLAG_ASYNC, py_request:left(Deadline), Gift).

%% Whatever came of the request, Python lets go of that descriptor.
forget(Token, Gift) ->
    fun() ->
            _ = call(<<"forget">>, [Token], 0, infinity, Gift),
            ok
    end.

call(Function, Args, Flags, Timeout, #gift{context = Context}) ->
    Term = {<<"erlang._adopt">>, Function, Args, #{}},
    py_caller:run(Context, ?FRAME_CALL, Flags, Term, Timeout, {stream, default, pair}).

nothing() -> ok.
