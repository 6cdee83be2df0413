%% SPDX-License-Identifier: Apache-2.0
%% @doc The process that makes a request for a caller on another node.
%%
%% It is started by that caller (`py_remote'), on the context's node, and has its
%% group leader; it does one request with the code that any caller uses, and says
%% what came of it.  A function that Python calls meanwhile is first looked for on
%% the caller's node, and runs in the caller; only one that is not there runs here.
%% While this process waits for the caller it does whatever the caller asks of this
%% node, so that it is nested.
%%
%% A guard beside it watches the caller, and kills it when that dies or its node is
%% lost: then its request ends as that of any caller that died.
-module(py_remote_runner).

-export([version/0, start/4, run/6, run_apart/6, on_ref/7]).
-export([forward/3, caller/0, spans/2]).

%% Of what a runner is told and says.
-define(VERSION, 1).
%% For whom this process works: `{Caller, Alias, Traced}', who made the request, where to
%% say what comes of it, and whether spans are wanted there.
-define(FOR, '$py_remote_for').
%% A caller that has not begun with a function so long after the request's time is up
%% waits no more.
-define(GRACE_MS, 10000).
%% The longest time that can be waited.
-define(MOST_MS, 16#ffffffff).

%% @private What a caller of this version says first.
-spec version() -> pos_integer().
version() -> ?VERSION.

%% @private Begin to work for a caller; the first argument says what it believes that we
%% understand.
-spec start(term(), pid(), reference(), py_remote:job()) -> ok.
start(?VERSION, Caller, Alias, Job) ->
    Runner = self(),
    _ = spawn(fun() -> guard(Caller, Runner) end),
    work(Alias, Job);
start(_, _, _, _) ->
    exit({py_remote, other_version}).

guard(Caller, Runner) ->
    CallerMon = erlang:monitor(process, Caller),
    RunnerMon = erlang:monitor(process, Runner),
    receive
        {'DOWN', CallerMon, process, _, _} -> exit(Runner, kill);
        {'DOWN', RunnerMon, process, _, _} -> true
    end.

work(Alias, {{Module, Function, Args}, Left, {Traced, Span}, _, Caller}) ->
    Before = put(?FOR, {Caller, Alias, Traced}),
    SpanBefore = py_events:within(Span),
    Result = apply(Module, Function, Args ++ [Left]),
    _ = py_events:within(SpanBefore),
    _ = put(?FOR, Before),
    _ = Alias ! {Alias, result, {py_lent:lent(Result), known(Result)}},
    ok.

%% What more there is to know of an error.
known({error, _}) -> py_answer:take_last();
known({pool, Result, _}) -> known(Result);
known(_) -> undefined.

%%% What it does

%% @private
-spec run(pid(), byte(), byte(), term(), py_caller:errors(), timeout()) ->
    {ok, term()} | {error, term()}.
run(Context, Opcode, Flags, Term, Errors, Left) ->
    py_caller:run(Context, Opcode, Flags, py_namespace:scoped_for(Context, Term), Left, Errors).

%% @private
-spec run_apart(pid(), byte(), byte(), term(), py_caller:errors(), timeout()) ->
    {ok, term()} | {error, term()}.
run_apart(Context, Opcode, Flags, Term, Errors, Left) ->
    {_, Alias, _} = get(?FOR),
    Begun = fun() -> Alias ! {Alias, begun, true} end,
    Request = {Opcode, Flags, py_namespace:scoped_for(Context, Term), Left, Errors},
    %% The guard watches the owner.
    py_caller:run_apart(Context, Request, py_request:deadline(Left), Begun, make_ref()).

%% @private
-spec on_ref(pid(), py_ref:t(), byte(), term(), py_caller:errors(), byte(), timeout()) ->
    {ok, term()} | {error, term()}.
on_ref(Context, Ref, Opcode, Body, Errors, Flags, Left) ->
    Result = py_caller:on_ref(Context, Ref, Opcode, fun(_) -> Body end, {Left, Errors, Flags}),
    py_lent:sound(Result, Ref).

%%% Functions that Python calls

%% @private The process that made the request that this process works on.
-spec caller() -> pid().
caller() ->
    case get(?FOR) of
        {Caller, _, _} -> Caller;
        undefined -> self()
    end.

%% @private In a runner: have the caller call this service as well, with spans that have
%% ended, if its node records any.
-spec spans(py_registry:function_key(), [term()]) -> ok.
spans(Service, Args) ->
    case get(?FOR) of
        {_, Alias, true} when node(Alias) =/= node() ->
            _ = Alias ! {Alias, spans, {Service, Args}},
            ok;
        _ ->
            ok
    end.

%% @private In a runner: let the caller run the function of this name, if its node has
%% one.
-spec forward(binary(), [term()], map()) -> {ok, term()} | none.
forward(Name, Args, Kwargs) ->
    case get(?FOR) of
        undefined -> none;
        {_, Alias, _} -> value(ask(Alias, {Name, Args, Kwargs}))
    end.

value({returned, Value}) -> {ok, Value};
value({raised, Class, Reason, Stack}) -> erlang:raise(Class, Reason, Stack);
value(none) -> none.

ask(Alias, Function) ->
    Ref = make_ref(),
    Left = py_request:left(py_callback:deadline()),
    _ = Alias ! {Alias, callback, {self(), Ref, Function, py_callback:context(), Left,
                                   py_events:span(), py_remote:serving()}},
    answer(Ref, patience(Left)).

patience(infinity) -> infinity;
patience(Left) -> min(Left + ?GRACE_MS, ?MOST_MS).

%% A caller that has given up has not said so: that the function begins is what it says.
answer(Ref, Patience) ->
    receive
        {Ref, serving} ->
            answer(Ref, infinity);
        {Ref, answer, Answer} ->
            Answer;
        {py_remote, Alias, Job} ->
            ok = nested(Alias, Job),
            answer(Ref, Patience)
    after Patience ->
        {raised, exit, noproc, []}
    end.

nested(Alias, {_, _, _, Leader, _} = Job) ->
    Before = group_leader(),
    true = group_leader(Leader, self()),
    ok = work(Alias, Job),
    true = group_leader(Before, self()),
    ok.
