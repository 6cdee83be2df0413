%% SPDX-License-Identifier: Apache-2.0
%% @doc One Python runtime: owns the control port of its zygote.
%%
%% The zygote may have been started by the launcher (its socket is adopted) or
%% is started from here; after that there is no difference.  A zygote that dies
%% is started again by this process, with growing pauses, so that no supervisor
%% ever loses patience.  Contexts ask for helpers with `spawn_helper/2' and get
%% messages `{py_helper, Ref, Event}' (see `py_runtime_jobs:event()'); those who
%% ask while the zygote is away get theirs when it is back, or the reason why it
%% can not be started.
-module(py_runtime).
-behaviour(gen_server).

-export([start_link/2, spawn_helper/2, adopted/3, cancel/2, info/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include_lib("kernel/include/logger.hrl").

%% How long the halves of a zygote's end (socket, process) may lie apart.
-define(COLLECT_MS, 2000).
%% How soon a full control socket is tried again.
-define(RETRY_MS, 5).
%% Room for the messages of some helpers: garbage is then collected once for many.
-define(WORDS, 16384).

-record(state, {name, options,
                status = starting,   % starting | up | closing | backoff
                port = none, os_pid, hello = #{},
                adopted = false,     % the launcher started it
                reason = none,       % why it can not be started
                was = none, closed = none, exit = none, % how its end came about
                timer = none,
                jobs = py_runtime_jobs:new(), backoff,
                probes = py_runtime_probes:new()}).

%% @doc Start the process of a runtime.
-spec start_link(atom(), terrarium_config:runtime()) -> gen_server:start_ret().
start_link(Name, Options) ->
    gen_server:start_link(?MODULE, {Name, Options}, [{spawn_opt, [{min_heap_size, ?WORDS}]}]).

%% @doc Ask for a helper on behalf of the calling process: `boot' is what it is
%% told, `policy' how it is locked up.  The reference is a
%% monitor on the runtime: `DOWN' says that the helper is gone with it.
-spec spawn_helper(atom(), map()) -> {ok, pid(), reference()} | {error, term()}.
spawn_helper(Name, #{boot := _} = Request) ->
    case py_registry:runtime(Name) of
        none ->
            {error, {runtime_failed, Name, unknown}};
        Pid ->
            Ref = erlang:monitor(process, Pid),
            gen_server:cast(Pid, {spawn, self(), Ref, Request}),
            {ok, Pid, Ref}
    end.

%% @doc The helper's descriptors have been taken over, or never will be.
-spec adopted(pid(), pos_integer(), none | port()) -> ok.
adopted(Runtime, Job, Port) ->
    gen_server:cast(Runtime, {adopted, Job, Port}).

%% @doc The helper asked for under this reference is not wanted any more.
-spec cancel(pid(), reference()) -> ok.
cancel(Runtime, Ref) ->
    gen_server:cast(Runtime, {cancel, self(), Ref}).

%% @doc State of a runtime: `name', `status', `os_pid', `reason', `helpers',
%% and what its zygote said about itself (`zygote').
-spec info(atom()) -> {ok, map()} | {error, term()}.
info(Name) ->
    case py_registry:runtime(Name) of
        none -> {error, {runtime_failed, Name, unknown}};
        Pid -> try gen_server:call(Pid, info)
               catch exit:_ -> {error, {runtime_failed, Name, unknown}}
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
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(info, _From, #state{name = Name, status = Status, jobs = Jobs} = S) ->
    {reply, {ok, #{name => Name, status => Status, os_pid => S#state.os_pid,
                   reason => S#state.reason, zygote => S#state.hello,
                   helpers => py_runtime_jobs:count(Jobs)}}, S};
handle_call({probe, Policy}, From, #state{status = Status, port = Port, probes = Probes} = S) ->
    {noreply, S#state{probes = py_runtime_probes:ask(Status, Port, Policy, From, Probes)}};
handle_call(_Request, _From, S) ->
    {reply, {error, unknown}, S}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({spawn, Context, Ref, _}, #state{status = backoff, reason = Why} = S)
  when Why =/= none ->
    Context ! {py_helper, Ref, {failed, Why}},
    {noreply, S};
handle_cast({spawn, Context, Ref, Request}, #state{jobs = Jobs} = S) ->
    Mon = erlang:monitor(process, Context),
    {noreply, flush(S#state{jobs = py_runtime_jobs:add(Ref, Context, Mon, Request, Jobs)})};
handle_cast({adopted, Id, Helper}, #state{jobs = Jobs, port = Port} = S) ->
    case py_runtime_jobs:adopted(Id, Helper, Jobs) of
        {Token, Exited, Next} ->
            _ = [py_port:drop_fds(Port, Token) || Helper =:= none],
            {noreply, flush(exited(Id, Exited, S#state{jobs = Next}))};
        unknown ->
            {noreply, S}
    end;
handle_cast({cancel, Context, Ref}, #state{jobs = Jobs} = S) ->
    case py_runtime_jobs:of_context(Context, Ref, Jobs) of
        {ok, Id} -> {noreply, flush(forget(Id, none, S))};
        unknown -> {noreply, S}
    end;
handle_cast(_Message, S) ->
    {noreply, S}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({Port, {control, Etf}}, #state{port = Port} = S) ->
    {noreply, control(binary_to_term(Etf, [safe]), S)};
handle_info({Port, {control, Etf, Token, _}}, #state{port = Port} = S) ->
    {noreply, heard(delivery(binary_to_term(Etf, [safe]), Token, S))};
handle_info({Port, {closed, Reason}}, #state{port = Port} = S) ->
    {noreply, ending(S#state{closed = Reason})};
handle_info({Port, {zygote_exit, Status}}, #state{port = Port} = S) ->
    {noreply, ending(S#state{exit = Status})};
handle_info({'DOWN', Mon, process, Context, _}, #state{jobs = Jobs} = S) ->
    case py_runtime_jobs:of_monitor(Mon, Jobs) of
        {ok, Id} ->
            ok = py_registry_end:killed(Context, py_runtime_jobs:port(Id, Jobs)),
            {noreply, flush(forget(Id, none, S))};
        unknown -> {noreply, S}
    end;
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
    py_runtime_end:shut_down(Port, ?COLLECT_MS).

%%% Starting

start(#state{name = Name} = S) ->
    Port = py_port:open_zygote(),
    S1 = S#state{port = Port, status = starting, closed = none, exit = none, reason = none,
                 hello = #{}, os_pid = undefined, adopted = false},
    case open(Port, py_registry:take_inherited(Name), S1) of
        {ok, S2} ->
            hello(arm(start_timeout, terrarium_config:get(start_timeout), S2));
        {error, Reason} ->
            fail(Reason, S1)
    end.

open(Port, {ok, Fd}, S) ->
    case py_port:adopt(Port, Fd) of
        ok ->
            {ok, S#state{adopted = true}};
        {error, Text} ->
            ?LOG_WARNING("Python runtime ~ts: descriptor ~b of the launcher: ~ts; starting "
                         "a zygote from here", [S#state.name, Fd, Text]),
            open(Port, none, S)
    end;
open(Port, none, #state{name = Name, options = Options} = S) ->
    case py_runtime_cmd:command(Name, Options) of
        {ok, Argv} ->
            case py_port:spawn(Port, Argv, py_runtime_cmd:env(Options)) of
                {ok, Pid} -> {ok, S#state{os_pid = Pid}};
                {error, Text} -> {error, {spawn, Text}}
            end;
        {error, _} = Error ->
            Error
    end.

hello(#state{port = Port} = S) ->
    case py_port:send(Port, py_runtime_cmd:hello()) of
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
    heard(forget(Id, {failed, py_runtime_probes:refusal(M)}, S));
control(#{<<"type">> := <<"probed">>} = M, #state{probes = Probes} = S) ->
    S#state{probes = py_runtime_probes:answered(M, Probes)};
control(#{<<"type">> := <<"exited">>, <<"id">> := Id} = M, S) ->
    exited(Id, M, S);
control(#{<<"type">> := <<"spent">>, <<"id">> := Id}, #state{jobs = Jobs, port = Port} = S) ->
    {Renew, Next} = py_runtime_jobs:spent(Id, served(py_runtime_jobs:port(Id, Jobs)), Jobs),
    %% Were it not to be sent, the zygote would have to take it for a no.
    _ = py_port:send(Port, #{type => budget, id => Id, renew => Renew}),
    S#state{jobs = Next};
control(#{<<"type">> := <<"log">>} = M, #state{name = Name} = S) ->
    py_zygote_log:log(Name, M),
    S;
control(_Other, S) ->
    S.

welcome(M, #state{name = Name, backoff = Backoff} = S) ->
    case py_runtime_cmd:check_hello(M) of
        ok ->
            _ = [py_runtime_cmd:remember(Name, Argv)
                 || S#state.adopted, {ok, Argv} <- [maps:find(<<"argv">>, M)]],
            Up = disarm(S#state{status = up, hello = M,
                                os_pid = maps:get(<<"pid">>, M, undefined)}),
            flush(Up#state{backoff = py_backoff:up(now_ms(), Backoff),
                           probes = py_runtime_probes:up(Up#state.port, Up#state.probes)});
        {error, Reason} ->
            fail(Reason, S)
    end.

%% It said why it can not work; now it ends, or is ended.
refuse(Reason, #state{status = starting} = S) ->
    fail(Reason, S);
refuse(Reason, #state{name = Name} = S) ->
    ?LOG_WARNING("Python runtime ~ts: ~ts", [Name, Reason]),
    S.

delivery(#{<<"type">> := <<"spawned">>, <<"id">> := Id, <<"pid">> := OsPid} = M, Token,
         #state{jobs = Jobs} = S) ->
    case py_runtime_jobs:spawned(Id, Token, Jobs) of
        {#{context := Context, ref := Ref}, Next} ->
            Context ! {py_helper, Ref, {spawned, Id, OsPid, Token, S#state.port,
                                          maps:get(<<"layers">>, M, [])}},
            S#state{jobs = Next};
        unknown ->
            %% Nobody wants it any more.
            _ = py_port:doom(S#state.port, Token),
            S
    end;
delivery(_Other, Token, S) ->
    _ = py_port:drop_fds(S#state.port, Token),
    S.

served(none) -> 0;
served(Helper) -> py_port:ended(Helper).

%%% Jobs

exited(Id, Exited, #state{jobs = Jobs} = S) ->
    case py_runtime_jobs:exited(Id, Exited, Jobs) of
        {later, Next} -> S#state{jobs = Next};
        now -> forget(Id, {exited, Exited}, S)
    end.

%% Send what waits, as far as the socket takes it.
flush(#state{status = up, jobs = Jobs, port = Port} = S) ->
    case py_runtime_jobs:next(Jobs) of
        {Id, Request, Next} ->
            Sent = py_port:send(Port, Request#{type => spawn, id => Id}),
            sent(Sent, Id, S#state{jobs = Next});
        none ->
            S
    end;
flush(S) ->
    S.

sent(ok, _, S) ->
    flush(watch(S));
sent(busy, Id, #state{jobs = Jobs} = S) ->
    _ = erlang:send_after(?RETRY_MS, self(), retry),
    S#state{jobs = py_runtime_jobs:postponed(Id, Jobs)};
sent({error, <<"down">>}, Id, #state{jobs = Jobs} = S) ->
    S#state{jobs = py_runtime_jobs:postponed(Id, Jobs)};
sent({error, Text}, Id, S) ->
    flush(forget(Id, {failed, {boot, Text}}, S)).

%% A zygote that does not answer (somebody stopped it) is as good as dead.  The timer is
%% left alone until its time is up: it would be set anew for each helper.
watch(#state{jobs = Jobs} = S) ->
    look_later(patience(), S#state{jobs = py_runtime_jobs:asked(now_ms(), Jobs)}).

look_later(Ms, #state{timer = none} = S) -> arm(silence, Ms, S);
look_later(_, S) -> S.

patience() ->
    max(1, terrarium_config:get(start_timeout) div 3).

heard(#state{jobs = Jobs} = S) ->
    S#state{jobs = py_runtime_jobs:heard(now_ms(), Jobs)}.

%% A job is over; its context is told, unless there is nothing to say.  Nobody
%% can take over its descriptors any more.
forget(Id, Event, #state{jobs = Jobs, port = Port} = S) ->
    case py_runtime_jobs:take(Id, Jobs) of
        {#{context := Context, ref := Ref, mon := Mon, token := Token}, Next} ->
            _ = erlang:demonitor(Mon, [flush]),
            _ = [py_port:doom(Port, Token) || Token =/= none, Port =/= none],
            _ = [Context ! {py_helper, Ref, Event} || Event =/= none],
            S#state{jobs = Next};
        unknown ->
            S
    end.

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
timeout(silence, #state{jobs = Jobs} = S) ->
    silent(py_runtime_jobs:patience_left(patience(), now_ms(), Jobs), S);
timeout(restart, S) ->
    start(S).

silent(none, S) -> S;
silent(Left, S) when Left > 0 -> look_later(Left, S);
silent(_, #state{name = Name, port = Port} = S) ->
    ?LOG_WARNING("Python runtime ~ts: its zygote does not answer and is killed", [Name]),
    _ = py_port:kill_zygote(Port),
    S.

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
    Ids = py_runtime_jobs:ids(Jobs),
    again(Why, forget_all(Ids, {failed, Why}, close(S))).

again(Why, #state{backoff = Backoff} = S) ->
    {Pause, Next} = py_backoff:failed(now_ms(), Backoff),
    Wait = case Why of
               none -> Pause;
               _ -> max(Pause, maps:get(min_backoff, terrarium_config:get(restart)))
           end,
    arm(restart, Wait, S#state{backoff = Next, status = backoff, reason = Why}).

close(#state{port = none} = S) ->
    disarm(S);
close(#state{port = Port, probes = Probes} = S) ->
    _ = py_port:kill_zygote(Port),
    ok = py_port:close(Port),
    disarm(S#state{port = none, os_pid = undefined, probes = py_runtime_probes:lost(Probes)}).

%% Helpers died with their zygote; what was asked for is asked for again.
requeue(#state{jobs = Jobs} = S) ->
    {Lost, Next} = py_runtime_jobs:lost(Jobs),
    forget_all(Lost, zygote_down, S#state{jobs = Next}).

forget_all(Ids, Event, S) ->
    lists:foldl(fun(Id, Acc) -> forget(Id, Event, Acc) end, S, Ids).

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
