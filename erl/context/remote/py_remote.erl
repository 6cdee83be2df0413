%% SPDX-License-Identifier: Apache-2.0
%% @doc Requests to contexts of other nodes, in the process that makes them.
%%
%% A process of the context's node, the runner (`py_remote_runner'), makes the
%% request there with the same code as any caller.  This one waits for what it
%% says, and meanwhile runs the functions that Python calls.  While it runs one,
%% whatever it asks of the runner's node is done by that same runner, which waits
%% for it: so requests from within functions are nested as they are on one node.
%%
%% <ul>
%% <li>Times cross as milliseconds that are left.  A node that says nothing any more
%%   costs no more than the request's time and a grace.</li>
%% <li>What the runner says comes to an alias, which is taken back when the wait
%%   ends: nothing comes later.</li>
%% <li>Node lost: `{error, {context_died, noconnection}}'.  Nothing is asked for
%%   twice.</li>
%% <li>The runner is killed when this process dies or its node is lost, and with
%%   that its request is given up, as that of any caller.</li>
%% </ul>
-module(py_remote).

-export([run/6, run_apart/5, on_ref/5, at/3, call/3]).
-export([serving/0]).

%% How much later than its time limit a request may end: about what ending it takes.
-define(GRACE_MS, 5000).
%% The longest time that can be waited.
-define(MOST_MS, 16#ffffffff).
%% The runners for whose Python this process runs a function, the last one first.
-define(SERVED, '$py_remote_served').

-record(wait, {alias = none :: none | reference(), mon = none :: none | reference(),
               node :: node(), deadline :: infinity | {deadline, integer()},
               begun = none :: none | fun(() -> term()), owner = none :: none | reference()}).

-type job() :: {{module(), atom(), [term()]}, timeout(),
                {Traced :: boolean(), Span :: binary() | undefined},
                Leader :: pid(), Caller :: pid()}.
%% What a runner does, and in whose name: this function, whose last argument is the
%% time that is left.  Whether the caller's node records spans.

-export_type([job/0]).

%% @doc As `py_caller:run/6', with a context of another node.
-spec run(py_place:at(), byte(), byte(), term(), py_request:deadline(), py_caller:errors()) ->
    {ok, term()} | {error, term()}.
run(Context, Opcode, Flags, Term, Timeout, Errors) ->
    at(Context, {py_remote_runner, run, [Opcode, Flags, Term, Errors]}, Timeout).

%% @doc As `py_caller:run_apart/5'.
-spec run_apart(py_place:at(), py_prepare:request(), py_request:deadline(), fun(() -> term()),
                reference()) ->
    {ok, term()} | {error, term()}.
run_apart(Context, {Opcode, Flags, Term, _, Errors}, Deadline, Begun, Owner) ->
    at(Context, {py_remote_runner, run_apart, [Opcode, Flags, Term, Errors]}, Deadline,
       {Begun, Owner}).

%% @doc As `call/3', with a context at this place as the function's first argument.
-spec at(py_place:at(), {module(), atom(), [term()]}, py_request:deadline()) -> term().
at(At, Function, Timeout) ->
    at(At, Function, Timeout, {none, none}).

at(At, Function, Timeout, How) ->
    {Node, There} = py_remote_pool:where(At, Function),
    py_remote_pool:said(At, begin_call(Node, There, Timeout, How)).

%% @doc As `py_caller:on_ref/5', with the body of the request.
-spec on_ref(pid(), py_ref:t(), byte(), term(),
             {py_request:deadline(), py_caller:errors(), byte()}) ->
    {ok, term()} | {error, term()}.
on_ref(Context, Ref, Opcode, Body, {Timeout, Errors, Flags}) ->
    Args = [Context, Ref, Opcode, Body, Errors, Flags],
    call(node(Context), {py_remote_runner, on_ref, Args}, Timeout).

%% @doc Have this function run on that node in the name of the calling process: with
%% these arguments and, as the last one, the milliseconds that are left.  What Python
%% calls meanwhile, the calling process runs.  What the function returns; `{error,
%% {context_died, Why}}' where nothing comes back, `{error, timeout}' where nothing
%% has come when the time and a grace are up.
-spec call(node(), {module(), atom(), [term()]}, py_request:deadline()) -> term().
call(Node, Function, Timeout) ->
    begin_call(Node, Function, Timeout, {none, none}).

begin_call(Node, Function, Timeout, {Begun, Owner}) ->
    Deadline = py_request:deadline(Timeout),
    Job = {Function, py_request:left(Deadline), {py_events:flags() =/= 0, py_events:span()},
           group_leader(), py_remote_runner:caller()},
    Wait = #wait{node = Node, deadline = Deadline, begun = Begun, owner = Owner},
    case [Runner || Runner <- serving(), node(Runner) =:= Node] of
        [] -> spawned(Job, Wait);
        [Runner | _] -> nested(Runner, Job, Wait)
    end.

%% Whatever comes has the alias as its first element, and the alias is handed on as an
%% argument: that is what lets the compiler skip what is older in the mailbox.
spawned(Job, #wait{node = Node} = Wait) ->
    Alias = erlang:alias(),
    Args = [py_remote_runner:version(), self(), Alias, Job],
    Mon = erlang:spawn_request(Node, py_remote_runner, start, Args,
                               [{monitor, [{tag, Alias}]}, {reply, error_only},
                                {reply_tag, Alias}]),
    wait(Alias, Wait#wait{alias = Alias, mon = Mon}).

nested(Runner, Job, Wait) ->
    Alias = erlang:alias(),
    Mon = erlang:monitor(process, Runner, [{tag, Alias}]),
    _ = Runner ! {py_remote, Alias, Job},
    wait(Alias, Wait#wait{alias = Alias, mon = Mon}).

wait(Alias, #wait{owner = none, deadline = Deadline} = Wait) ->
    receive
        {Alias, What, Said} -> said(What, Said, Alias, Wait);
        {Alias, _, error, Reason} -> lost(Reason, Wait);
        {Alias, _, process, _, Reason} -> lost(Reason, Wait)
    after patience(Deadline) -> give_up(Wait)
    end;
wait(Alias, Wait) ->
    wait_with_owner(Alias, Wait).

%% A process that has no other messages.
wait_with_owner(Alias, #wait{owner = Owner, deadline = Deadline} = Wait) ->
    receive
        {Alias, What, Said} -> said(What, Said, Alias, Wait);
        {Alias, _, error, Reason} -> lost(Reason, Wait);
        {Alias, _, process, _, Reason} -> lost(Reason, Wait);
        {'DOWN', Owner, process, _, _} ->
            _ = give_up(Wait),
            throw(owner_died)
    after patience(Deadline) -> give_up(Wait)
    end.

patience(Deadline) ->
    case py_request:left(Deadline) of
        infinity -> infinity;
        Left -> min(Left + ?GRACE_MS, ?MOST_MS)
    end.

%% The result is the last that a runner says to an alias.
said(result, {Result, Last}, Alias, #wait{mon = Mon}) ->
    _ = erlang:unalias(Alias),
    ok = ended(Alias, Mon),
    ok = py_answer:keep_last(Last),
    py_lent:taken(Result);
said(callback, Callback, Alias, Wait) ->
    ok = serve(Callback),
    wait(Alias, Wait);
said(spans, {Service, Args}, Alias, Wait) ->
    ok = keep_spans(py_registry:function(Service), Args),
    wait(Alias, Wait);
said(begun, _, Alias, #wait{begun = Begun} = Wait) ->
    _ = Begun(),
    wait(Alias, Wait).

%% Whatever is wrong with them does not harm who is traced.
keep_spans(Service, Args) ->
    try
        _ = Service(Args),
        ok
    catch
        error:_ -> ok
    end.

%% The runner may have ended by now.  This looks at new messages only, which flushing the
%% monitor does not.
ended(Alias, Mon) ->
    case erlang:demonitor(Mon, [info]) of
        true ->
            ok;
        false ->
            receive
                {Alias, _, process, _, _} -> ok
            after 0 -> ok
            end
    end.

lost(Reason, #wait{alias = Alias, node = Node}) ->
    _ = erlang:unalias(Alias),
    {error, {context_died, why(Reason, Node)}}.

why({undef, [{py_remote_runner, start, _, _} | _]}, Node) -> {no_terrarium, Node};
why(notsup, Node) -> {no_terrarium, Node};
why({?MODULE, other_version}, Node) -> {other_version, Node};
%% A runner that waited for us ends before that only if the connection was lost.
why(noproc, _) -> noconnection;
why(Reason, _) -> Reason.

%% The runner knows the same time limit, and ends the request if it can.
give_up(#wait{alias = Alias, mon = Mon}) ->
    _ = erlang:unalias(Alias),
    %% Perhaps it has not even begun, as far as is known here.
    _ = erlang:spawn_request_abandon(Mon),
    _ = erlang:demonitor(Mon, [flush]),
    ok = forget(Alias),
    py_answer:timeout(none).

forget(Alias) ->
    receive
        Said when element(1, Said) =:= Alias -> forget(Alias)
    after 0 -> ok
    end.

%%% Functions that Python calls

%% @doc The runners that wait for this process.
-spec serving() -> [pid()].
serving() ->
    case get(?SERVED) of
        undefined -> [];
        Runners -> Runners
    end.

%% Who waits for the runner waits for this process as well.
serve({Runner, Ref, Function, Context, Left, Span, Others}) ->
    _ = Runner ! {Ref, serving},
    Before = put(?SERVED, [Runner | Others] ++ (serving() -- [Runner | Others])),
    SpanBefore = py_events:within(Span),
    Call = fun() -> py_callback:serve_afar(Function, Context, py_request:deadline(Left)) end,
    Answer = py_caller:represented(on_this_node([Runner | Others]), Call),
    _ = py_events:within(SpanBefore),
    _ = case Before of
            undefined -> erase(?SERVED);
            _ -> put(?SERVED, Before)
        end,
    _ = Runner ! {Ref, answer, Answer},
    ok.

on_this_node(Runners) ->
    lists:any(fun(Runner) -> node(Runner) =:= node() end, Runners).
