%% SPDX-License-Identifier: Apache-2.0
%% @doc One Python runtime: owns the control port of its zygote.
%%
%% The zygote may have been started by the launcher (its socket is adopted) or
%% is started from here; after that there is no difference.  A zygote that dies
%% is started again by this process, with growing pauses, so that no supervisor
%% ever loses patience.  Contexts ask for helpers with `spawn_helper/2' and get
%% messages `{py_helper, Ref, Event}'; those who ask while the zygote is away
%% get theirs when it is back, or the reason why it can not be started.
-module(py_runtime).
-behaviour(gen_server).

-export([start_link/2, spawn_helper/2, adopted/2, cancel/2, info/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([event/0]).

-include("py_wire.hrl").
-include_lib("kernel/include/logger.hrl").

%% How long the halves of a zygote's end (socket, process) may lie apart.
-define(COLLECT_MS, 2000).
%% How soon a full control socket is tried again.
-define(RETRY_MS, 5).
%% Helpers whose descriptors nobody has taken over yet; the driver keeps no
%% more than 256 of them.
-define(MAX_COMING, 64).

-type event() ::
    {spawned, Job :: pos_integer(), OsPid :: integer(), Fds :: [non_neg_integer()]}
    %% open a port with these descriptors, then call `adopted/2'
  | {failed, term()}
  | {exited, map()}
  | zygote_down.
%% What the asker of a helper is told about it.

-record(job, {ref, context, mon, boot, stage = queued, token = none}).

-record(state, {name, options,
                status = starting,   % starting | up | closing | backoff
                port = none, os_pid, hello = #{},
                reason = none,       % why it can not be started
                was = none, closed = none, exit = none, % how its end came about
                timer = none,
                queue = queue:new(), % jobs not yet sent
                jobs = #{}, mons = #{}, next = 1,
                coming = 0,          % jobs sent, not adopted
                backoff}).

%% @doc Start the process of a runtime.
-spec start_link(atom(), terrarium_config:runtime()) -> gen_server:start_ret().
start_link(Name, Options) ->
    gen_server:start_link(?MODULE, {Name, Options}, []).

%% @doc Ask for a helper on behalf of the calling process.  The reference is a
%% monitor on the runtime: `DOWN' says that the helper is gone with it.
-spec spawn_helper(atom(), map()) -> {ok, pid(), reference()} | {error, term()}.
spawn_helper(Name, Boot) ->
    case py_registry:runtime(Name) of
        none ->
            {error, {runtime_failed, Name, unknown}};
        Pid ->
            Ref = erlang:monitor(process, Pid),
            gen_server:cast(Pid, {spawn, self(), Ref, Boot}),
            {ok, Pid, Ref}
    end.

%% @doc The helper's descriptors have been taken over.
-spec adopted(pid(), pos_integer()) -> ok.
adopted(Runtime, Job) ->
    gen_server:cast(Runtime, {adopted, Job}).

%% @doc The helper asked for under this reference is not wanted any more.
-spec cancel(pid(), reference()) -> ok.
cancel(Runtime, Ref) ->
    gen_server:cast(Runtime, {cancel, self(), Ref}).

%% @doc State of a runtime: `name', `status', `os_pid', `reason', `helpers',
%% and what its zygote said about itself (`zygote').
-spec info(atom()) -> {ok, map()} | {error, term()}.
info(Name) ->
    case py_registry:runtime(Name) of
        none ->
            {error, {runtime_failed, Name, unknown}};
        Pid ->
            try
                gen_server:call(Pid, info)
            catch
                exit:_ -> {error, {runtime_failed, Name, unknown}}
            end
    end.

%%% Callbacks

%% @private
-spec init({atom(), map()}) -> {ok, #state{}, {continue, start}}.
init({Name, Options}) ->
    process_flag(trap_exit, true),
    ok = py_registry:put_runtime(Name, self()),
    Backoff = py_backoff:new(terrarium_config:get(restart)),
    {ok, #state{name = Name, options = Options, backoff = Backoff}, {continue, start}}.

%% @private
-spec handle_continue(start, #state{}) -> {noreply, #state{}}.
handle_continue(start, S) ->
    {noreply, start(S)}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(info, _From, #state{name = Name, status = Status, jobs = Jobs} = S) ->
    Info = #{name => Name, status => Status, os_pid => S#state.os_pid,
             reason => S#state.reason, zygote => S#state.hello, helpers => maps:size(Jobs)},
    {reply, {ok, Info}, S};
handle_call(_Request, _From, S) ->
    {reply, {error, unknown}, S}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({spawn, Context, Ref, _}, #state{status = backoff, reason = Why} = S)
  when Why =/= none ->
    tell(Context, Ref, {failed, Why}),
    {noreply, S};
handle_cast({spawn, Context, Ref, Boot}, S) ->
    {noreply, flush(enqueue(Context, Ref, Boot, S))};
handle_cast({adopted, Id}, #state{jobs = Jobs} = S) ->
    case Jobs of
        #{Id := Job} ->
            S1 = S#state{jobs = Jobs#{Id := Job#job{token = none, stage = live}}},
            {noreply, flush(dropped(Job, S1))};
        _ -> {noreply, S}
    end;
handle_cast({cancel, Context, Ref}, #state{jobs = Jobs} = S) ->
    Mine = [Mon || #job{context = C, ref = R, mon = Mon} <- maps:values(Jobs),
                   C =:= Context, R =:= Ref],
    {noreply, lists:foldl(fun(Mon, Acc) ->
                                  _ = erlang:demonitor(Mon, [flush]),
                                  context_gone(Mon, Acc)
                          end, S, Mine)};
handle_cast(_Message, S) ->
    {noreply, S}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({Port, {control, Etf}}, #state{port = Port} = S) ->
    {noreply, control(binary_to_term(Etf, [safe]), S)};
handle_info({Port, {control, Etf, Token, Fds}}, #state{port = Port} = S) ->
    {noreply, delivery(binary_to_term(Etf, [safe]), Token, Fds, S)};
handle_info({Port, {closed, Reason}}, #state{port = Port} = S) ->
    {noreply, ending(S#state{closed = Reason})};
handle_info({Port, {zygote_exit, Status}}, #state{port = Port} = S) ->
    {noreply, ending(S#state{exit = Status})};
handle_info({'DOWN', Mon, process, _, _}, S) ->
    {noreply, context_gone(Mon, S)};
handle_info({timeout, Timer, Why}, #state{timer = Timer} = S) ->
    {noreply, timeout(Why, S#state{timer = none})};
handle_info(retry, S) ->
    {noreply, flush(S)};
handle_info(_Other, S) ->
    {noreply, S}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{port = none}) ->
    ok;
terminate(_Reason, #state{port = Port}) ->
    _ = py_port:send(Port, #{type => shutdown}),
    case await_exit(Port, terrarium_config:get(stop_timeout)) of
        ok ->
            ok;
        timeout ->
            _ = py_port:kill_zygote(Port),
            _ = await_exit(Port, ?COLLECT_MS),
            ok
    end,
    py_port:close(Port).

%% The process is what counts; where it is not ours to reap, the socket is.
await_exit(Port, Timeout) ->
    receive
        {Port, {zygote_exit, _}} -> ok;
        {Port, {closed, _}} ->
            receive
                {Port, {zygote_exit, _}} -> ok
            after ?COLLECT_MS -> ok
            end
    after Timeout -> timeout
    end.

%%% Starting

start(#state{name = Name} = S) ->
    Port = py_port:open_zygote(),
    S1 = S#state{port = Port, status = starting, closed = none, exit = none, reason = none,
                 hello = #{}, os_pid = undefined},
    case open(Port, py_registry:take_inherited(Name), S1) of
        {ok, S2} ->
            hello(arm(start_timeout, terrarium_config:get(start_timeout), S2));
        {error, Reason} ->
            fail(Reason, S1)
    end.

open(Port, {ok, Fd}, S) ->
    case py_port:adopt(Port, Fd) of
        ok -> {ok, S};
        {error, Text} -> {error, {adopt, Text}}
    end;
open(Port, none, #state{name = Name, options = Options} = S) ->
    case command(Name, Options) of
        {ok, Argv} ->
            case py_port:spawn(Port, Argv, py_runtime_cmd:env(Options)) of
                {ok, Pid} -> {ok, S#state{os_pid = Pid}};
                {error, Text} -> {error, {spawn, Text}}
            end;
        {error, _} = Error ->
            Error
    end.

command(Name, Options) ->
    case py_runtime_cmd:recall(Name) of
        {ok, Argv} -> {ok, Argv};
        none -> py_runtime_cmd:argv(Name, Options)
    end.

hello(#state{port = Port} = S) ->
    Hello = #{type => hello, version => ?WIRE_VERSION, fingerprint => ?WIRE_FINGERPRINT,
              vm_pid => list_to_integer(os:getpid())},
    case py_port:send(Port, Hello) of
        ok -> S;
        busy -> fail({hello, <<"busy">>}, S);
        %% It died at once: `closed' and its exit status say why.
        {error, _} -> S
    end.

%%% Control messages

control(#{<<"type">> := <<"hello">>} = M, #state{status = starting} = S) ->
    welcome(M, S);
control(#{<<"type">> := <<"failed">>} = M, S) ->
    refuse(maps:get(<<"reason">>, M, <<>>), S);
control(#{<<"type">> := <<"spawn_failed">>, <<"id">> := Id} = M, S) ->
    forget(Id, {failed, {spawn_failed, maps:get(<<"reason">>, M, <<>>)}}, S);
control(#{<<"type">> := <<"exited">>, <<"id">> := Id} = M, S) ->
    forget(Id, {exited, M}, S);
control(#{<<"type">> := <<"log">>} = M, #state{name = Name} = S) ->
    py_zygote_log:log(Name, M),
    S;
control(_Other, S) ->
    S.

welcome(#{<<"version">> := ?WIRE_VERSION, <<"fingerprint">> := ?WIRE_FINGERPRINT} = M,
        #state{name = Name, backoff = Backoff} = S) ->
    ok = keep_argv(Name, M),
    S1 = disarm(S#state{status = up, hello = M, os_pid = maps:get(<<"pid">>, M, undefined)}),
    flush(S1#state{backoff = py_backoff:up(now_ms(), Backoff)});
welcome(M, S) ->
    fail({version_mismatch, maps:with([<<"version">>, <<"fingerprint">>], M)}, S).

keep_argv(Name, M) ->
    case {lists:member(Name, py_runtime_cmd:remembered()), maps:get(<<"argv">>, M, [])} of
        {true, [_ | _] = Argv} -> py_runtime_cmd:remember(Name, Argv);
        _ -> ok
    end.

%% It said why it can not work; now it ends, or is ended.
refuse(Reason, #state{status = starting} = S) ->
    fail(Reason, S);
refuse(Reason, #state{name = Name} = S) ->
    ?LOG_WARNING("Python runtime ~ts: ~ts", [Name, Reason]),
    S.

delivery(#{<<"type">> := <<"spawned">>, <<"id">> := Id, <<"pid">> := OsPid}, Token, Fds,
         #state{jobs = Jobs} = S) ->
    case Jobs of
        #{Id := #job{context = Context, ref = Ref, stage = sent} = Job} ->
            tell(Context, Ref, {spawned, Id, OsPid, Fds}),
            S#state{jobs = Jobs#{Id := Job#job{stage = spawned, token = Token}}};
        _ ->
            %% Nobody wants it any more: it reads end-of-file and ends.
            _ = py_port:drop_fds(S#state.port, Token),
            S
    end;
delivery(_Other, Token, _Fds, S) ->
    _ = py_port:drop_fds(S#state.port, Token),
    S.

%%% Jobs

enqueue(Context, Ref, Boot, #state{next = Id, jobs = Jobs, mons = Mons, queue = Q} = S) ->
    Mon = erlang:monitor(process, Context),
    Job = #job{ref = Ref, context = Context, mon = Mon, boot = Boot},
    S#state{next = Id + 1, jobs = Jobs#{Id => Job}, mons = Mons#{Mon => Id},
            queue = queue:in(Id, Q)}.

%% Send what waits, as far as the socket takes it.
flush(#state{status = up, queue = Q, jobs = Jobs, port = Port, coming = Coming} = S)
  when Coming < ?MAX_COMING ->
    case queue:out(Q) of
        {empty, _} ->
            S;
        {{value, Id}, Rest} when is_map_key(Id, Jobs) ->
            Job = maps:get(Id, Jobs),
            Message = #{type => spawn, id => Id, boot => Job#job.boot},
            sent(py_port:send(Port, Message), Id, Job, S#state{queue = Rest});
        {{value, _Forgotten}, Rest} ->
            flush(S#state{queue = Rest})
    end;
flush(S) ->
    S.

sent(ok, Id, Job, #state{jobs = Jobs} = S) ->
    flush(S#state{jobs = Jobs#{Id := Job#job{stage = sent}}, coming = S#state.coming + 1});
sent(busy, Id, _Job, #state{queue = Q} = S) ->
    _ = erlang:send_after(?RETRY_MS, self(), retry),
    S#state{queue = queue:in_r(Id, Q)};
sent({error, <<"down">>}, Id, _Job, #state{queue = Q} = S) ->
    S#state{queue = queue:in_r(Id, Q)};
sent({error, Text}, Id, _Job, S) ->
    flush(forget(Id, {failed, {boot, Text}}, S)).

forget(Id, Event, #state{jobs = Jobs, mons = Mons} = S) ->
    case maps:take(Id, Jobs) of
        {#job{context = Context, ref = Ref, mon = Mon} = Job, Left} ->
            _ = erlang:demonitor(Mon, [flush]),
            tell(Context, Ref, Event),
            dropped(Job, S#state{jobs = Left, mons = maps:remove(Mon, Mons)});
        error ->
            S
    end.

%% The asker died: a helper that is under way is dropped when it comes.
context_gone(Mon, #state{jobs = Jobs, mons = Mons} = S) ->
    case maps:take(Mon, Mons) of
        {Id, Left} ->
            {Job, Others} = maps:take(Id, Jobs),
            flush(dropped(Job, S#state{jobs = Others, mons = Left}));
        error ->
            S
    end.

%% A job is no longer under way: its descriptors are closed and the next may
%% be sent.
dropped(#job{token = Token, stage = Stage}, #state{port = Port, coming = Coming} = S) ->
    _ = [py_port:drop_fds(Port, Token) || Token =/= none, Port =/= none],
    case Stage of
        sent -> S#state{coming = Coming - 1};
        spawned -> S#state{coming = Coming - 1};
        _ -> S
    end.

tell(Context, Ref, Event) ->
    Context ! {py_helper, Ref, Event},
    ok.

%%% The end of a zygote

%% Socket and process end in either order; collect both before the port is
%% closed, so that the child is reaped and its status is known.
ending(#state{status = closing, closed = Closed, exit = Exit} = S)
  when Closed =/= none, Exit =/= none ->
    ended(S);
ending(#state{status = closing} = S) ->
    S;
ending(#state{port = Port, status = Status} = S) ->
    _ = py_port:kill_zygote(Port),
    S1 = arm(collect, ?COLLECT_MS, S),
    S1#state{status = closing, was = Status}.

timeout(start_timeout, S) ->
    fail(start_timeout, S);
timeout(collect, S) ->
    ended(S);
timeout(restart, S) ->
    start(S).

ended(#state{was = starting} = S) ->
    fail(why(S), S);
ended(#state{name = Name} = S) ->
    ?LOG_WARNING("Python runtime ~ts: its zygote ended (~0tp); starting it again",
                 [Name, why(S)]),
    again(none, requeue(close(S))).

why(#state{exit = none, closed = Reason}) -> Reason;
why(#state{exit = Status}) -> Status.

%% It can not be started: say so to all who wait, and try again later.
fail(Reason, #state{name = Name, jobs = Jobs} = S) ->
    ?LOG_ERROR("Python runtime ~ts can not be started: ~0tp", [Name, Reason]),
    Why = {runtime_failed, Name, Reason},
    S1 = maps:fold(fun(Id, _, Acc) -> forget(Id, {failed, Why}, Acc) end, close(S), Jobs),
    again(Why, S1).

again(Why, #state{backoff = Backoff} = S) ->
    {Pause, Next} = py_backoff:failed(now_ms(), Backoff),
    Wait = case Why of
               none -> Pause;
               _ -> max(Pause, maps:get(min_backoff, terrarium_config:get(restart)))
           end,
    arm(restart, Wait, S#state{backoff = Next, status = backoff, reason = Why}).

close(#state{port = none} = S) ->
    disarm(S);
close(#state{port = Port} = S) ->
    _ = py_port:kill_zygote(Port),
    ok = py_port:close(Port),
    disarm(S#state{port = none, os_pid = undefined}).

%% Helpers died with their zygote; what was asked for is asked for again.
requeue(#state{jobs = Jobs} = S) ->
    maps:fold(fun(Id, #job{stage = live}, Acc) ->
                      forget(Id, zygote_down, Acc);
                 (Id, #job{stage = spawned}, Acc) ->
                      forget(Id, zygote_down, Acc);
                 (Id, #job{stage = sent} = Job, Acc) ->
                      #state{jobs = All, queue = Q} = Acc1 = dropped(Job, Acc),
                      Acc1#state{jobs = All#{Id := Job#job{stage = queued}},
                                 queue = queue:in(Id, Q)};
                 (_, _, Acc) ->
                      Acc
              end, S, Jobs).

arm(Why, Ms, S) ->
    S1 = disarm(S),
    S1#state{timer = erlang:start_timer(Ms, self(), Why)}.

disarm(#state{timer = none} = S) ->
    S;
disarm(#state{timer = Timer} = S) ->
    _ = erlang:cancel_timer(Timer),
    S#state{timer = none}.

now_ms() ->
    erlang:monotonic_time(millisecond).
