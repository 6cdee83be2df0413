%% SPDX-License-Identifier: Apache-2.0
%% @doc The process of a context: gets a helper from its runtime, owns the
%% helper's port, and when the helper dies finds out why, tells all who wait,
%% and gets another one.  No request passes through here.
%%
%% States: `starting' (a helper is under way; callers wait), `ready',
%% `collecting' (it died; socket and process end in either order), `backoff'
%% (callers are told why; another attempt follows).
-module(py_context_server).
-behaviour(gen_statem).

-export([start_link/3]).
-export([init/1, callback_mode/0, handle_event/4, terminate/3]).
%% For py_context_renewal.
-export([ready/2, close_old/2]).

-include("../port/py_wire.hrl").
-include("py_context_data.hrl").
-include_lib("kernel/include/logger.hrl").

%% How long the two halves of a helper's end may lie apart.
-define(COLLECT_MS, 1000).
%% How long a failed port stays, for callers that submitted and have not yet
%% asked for their answer.
-define(LINGER_MS, 1000).
%% How long a helper that was stopped may leave its last output unread.
-define(LAST_WORDS_MS, 20).

%% @doc Start a context.  Its options are checked; `Owner' is the process with
%% which it ends, or `none'.
-spec start_link(term(), py_context_opts:options(), pid() | none) ->
    {ok, pid()} | {error, term()}.
start_link(Id, Options, Owner) ->
    case gen_statem:start_link(?MODULE, {Id, Options, Owner}, []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @private
-spec callback_mode() -> handle_event_function.
callback_mode() ->
    handle_event_function.

%% @private
-spec init({term(), map(), pid() | none}) -> gen_statem:init_result(atom()).
init({Id, Options, Owner}) ->
    process_flag(trap_exit, true),
    case whereis(py_registry) of
        undefined ->
            {stop, not_started};
        _ ->
            Mon = case Owner of
                      none -> none;
                      _ -> erlang:monitor(process, Owner)
                  end,
            Backoff = py_backoff:new(maps:get(restart, Options)),
            Data = #data{id = Id, label = label(Id, Options), opts = Options, owner = Mon,
                         backoff = Backoff,
                         death = py_context_core:new(), output = py_output:new()},
            ok = py_namespace:declare(Options),
            ok = py_log_level:here(Id),
            ok = py_registry:publish(self(), starting),
            {ok, starting, Data, {next_event, internal, start}}
    end.

%% How logs and the process itself call it.
label(Id, #{name := <<>>}) -> iolist_to_binary(io_lib:format("~0tp", [Id]));
label(_, #{name := Name}) -> Name.

%% @private
-spec handle_event(gen_statem:event_type(), term(), atom(), #data{}) ->
    gen_statem:event_handler_result(atom()).
handle_event(internal, start, starting, Data) ->
    ask(Data);
handle_event({call, From}, await, State, _) ->
    awaited(State, From);
handle_event({call, From}, info, State, Data) ->
    {keep_state_and_data, {reply, From, {ok, info(State, Data)}}};
handle_event({call, From}, backtrace, ready, #data{port = Port, backtrace = Asked} = Data) ->
    {Next, Actions} = py_backtrace:ask(From, Port, Asked),
    {keep_state, Data#data{backtrace = Next}, Actions};
handle_event({call, From}, backtrace, backoff, _) ->
    {keep_state_and_data, {reply, From, {error, unavailable}}};
handle_event({call, _}, backtrace, _, _) ->
    {keep_state_and_data, postpone};
handle_event({timeout, backtrace}, Token, _, #data{backtrace = Asked} = Data) ->
    {keep_state, Data#data{backtrace = py_backtrace:gave_up(Token, Asked)}};
handle_event({call, From}, {renew, Options}, State, Data) ->
    py_context_renewal:renew(From, Options, State, Data);
handle_event(internal, swap, State, Data) ->
    py_context_renewal:swap(State, Data);
handle_event({timeout, What}, Event, _, Data) ->
    py_context_renewal:timeout(What, Event, Data);
handle_event(info, {py_helper, Ref, Event}, State, #data{ref = Ref} = Data) ->
    helper(Event, State, Data);
handle_event(info, {'DOWN', Ref, process, _, _}, State, #data{ref = Ref} = Data) ->
    helper(runtime_gone, State, Data);
handle_event(info, {'DOWN', Owner, process, _, _}, _, #data{owner = Owner}) ->
    {stop, normal};
handle_event(info, {py_release, Generation, Id}, _, Data) ->
    ok = py_ref:collected(Generation, Id, Data#data.generation, Data#data.port),
    keep_state_and_data;
handle_event(info, {Port, Message}, State, #data{port = Port} = Data) when is_port(Port) ->
    port(Message, State, Data);
handle_event(info, {'EXIT', Port, Reason}, State, #data{port = Port} = Data) ->
    port({closed, Reason}, State, Data);
handle_event(info, {'EXIT', Pid, Reason}, _, _) when is_pid(Pid), Reason =/= normal ->
    {stop, Reason};
handle_event(info, {close_old, Port}, _, Data) ->
    {keep_state, linger(Port, Data)};
handle_event(info, Message, State, Data) ->
    case py_context_renewal:event(Message, State, Data) of
        unknown -> stray(Message, Data);
        Result -> Result
    end;
handle_event(state_timeout, start, starting, Data) ->
    start_timeout(Data);
handle_event(state_timeout, collected, collecting, Data) ->
    conclude(Data);
handle_event(state_timeout, again, backoff, Data) ->
    ask(Data);
handle_event({call, From}, _, _, _) ->
    {keep_state_and_data, {reply, From, {error, unknown}}};
handle_event(_, _, _, _) ->
    keep_state_and_data.

%% @private
-spec terminate(term(), atom(), #data{}) -> ok.
terminate(Reason, State, #data{port = Port, old = Old} = Data) ->
    ok = py_registry:withdraw(self()),
    ok = py_context_swap:close(Reason, Data#data.swap),
    gen_server:cast(py_observer, {forget_context, self()}),
    _ = case Port of
            none ->
                cancel(Data);
            _ ->
                ok = wind_up(State, Data),
                ok = py_wait:abandon(Port),
                _ = py_port:fail(Port, {context_died, Reason}),
                py_port:close(Port)
        end,
    _ = lists:foldl(fun close_old/2, Data, maps:keys(Old)),
    ok.

%%% Callers

awaited(ready, From) ->
    {keep_state_and_data, {reply, From, ok}};
awaited(backoff, From) ->
    {unavailable, Reason} = py_registry:find(self()),
    {keep_state_and_data, {reply, From, {error, Reason}}};
awaited(_, _) ->
    {keep_state_and_data, postpone}.

info(State, #data{port = Port, hello = Hello, os_pid = OsPid, past = Past} = Data) ->
    Stats = py_context_stats:counters(Port),
    #{id => Data#data.id, state => State, runtime => maps:get(runtime, Data#data.opts),
      os_pid => OsPid, python => maps:get(<<"python">>, Hello, none),
      generation => Data#data.generation, restarts => Data#data.restarts,
      crashes => Data#data.crashes, renewals => Data#data.renewals,
      retired => py_context_swap:retired(Data#data.swap),
      interp_id => Data#data.interp_id, stats => maps:remove(latency, Stats),
      total => py_context_stats:add(Past, Stats),
      process => py_context_stats:process(OsPid)}.

%%% Getting a helper

ask(#data{label = Label, opts = Options} = Data) ->
    ok = py_registry:publish(self(), starting),
    Boot = py_context_helper:boot(Label, Options),
    Fresh = Data#data{death = py_context_core:new(), boot_reason = none, hello = #{},
                      port = none, os_pid = none, ref = none},
    case py_runtime:spawn_helper(maps:get(runtime, Options), Boot) of
        {ok, Runtime, Ref} ->
            {next_state, starting, Fresh#data{runtime = Runtime, ref = Ref},
             {state_timeout, terrarium_config:get(start_timeout), start}};
        {error, Reason} ->
            back_off(Reason, Fresh)
    end.

helper({spawned, Job, OsPid, Fds, Zygote}, starting, #data{port = none} = Data) ->
    case py_context_helper:open(Fds, Zygote, Job, Data#data.runtime, Data#data.opts) of
        {ok, Port} -> {keep_state, Data#data{port = Port, os_pid = OsPid}};
        stale -> keep_state_and_data;
        {error, Reason} -> back_off(Reason, cancel(Data))
    end;
helper({failed, Reason}, starting, Data) ->
    back_off(Reason, cancel(Data));
helper({exited, Exited}, State, #data{death = Death} = Data) ->
    dying(State, Data#data{death = py_context_core:exited(Exited, Death)});
helper(zygote_down, starting, #data{port = none} = Data) ->
    ask(cancel(Data));
helper(runtime_gone, starting, #data{port = none} = Data) ->
    back_off(unavailable, cancel(Data));
helper(_ZygoteDown, State, #data{death = Death} = Data) ->
    dying(State, Data#data{death = py_context_core:exited(zygote_down, Death)}).

start_timeout(#data{port = none} = Data) ->
    back_off(start_timeout, cancel(Data));
start_timeout(Data) ->
    collect(Data#data{boot_reason = start_timeout}).

%% Nothing is expected from the runtime any more.
cancel(#data{ref = none} = Data) ->
    Data;
cancel(#data{ref = Ref, runtime = Runtime} = Data) ->
    _ = erlang:demonitor(Ref, [flush]),
    ok = py_runtime:cancel(Runtime, Ref),
    Data#data{ref = none}.

%%% A helper's messages

port({hello, Etf}, starting, Data) ->
    Backoff = py_backoff:up(now_ms(), Data#data.backoff),
    ready(Etf, Data#data{backoff = Backoff});
port({boot_error, Etf}, starting, Data) ->
    collect(Data#data{boot_reason = py_context_core:boot_reason(Etf)});
port({boot_error, Etf}, collecting, #data{boot_reason = none} = Data) ->
    %% Its end was heard of first.
    {keep_state, Data#data{boot_reason = py_context_core:boot_reason(Etf)}};
port({closed, Reason}, State, #data{death = Death} = Data) ->
    dying(State, Data#data{death = py_context_core:closed(Reason, Death)});
port({output, Stream, Bytes}, _, #data{output = Output, os_pid = OsPid} = Data) ->
    {Plain, Asked} = py_backtrace:feed(Stream, Bytes, Data#data.backtrace),
    {keep_state, Data#data{output = output(Stream, Plain, Output, OsPid, Data),
                           backtrace = Asked}};
port(output_paused, _, #data{port = Port}) ->
    _ = py_port:more_output(Port),
    keep_state_and_data;
port(calls, ready, Data) ->
    py_context_renewal:recycle(Data);
port({callback, Etf}, _, #data{port = Port}) ->
    _ = spawn(py_callback, serve, [Port, self(), Etf]),
    keep_state_and_data;
port(_, _, _) ->
    keep_state_and_data.

%% @private
%% The port of its data takes requests from now on.
-spec ready(binary(), #data{}) -> {next_state, ready, #data{}, [gen_statem:action()]}.
ready(Etf, #data{generation = Before, port = Port, opts = Options} = Data) ->
    Generation = Before + 1,
    ok = py_registry:publish(self(), {ready, Port, Generation, py_context_opts:limits(Options),
                                      py_context_opts:form(Options)}),
    Next = Data#data{generation = Generation, hello = binary_to_term(Etf, [safe]),
                     interp_id = erlang:unique_integer([positive])},
    ok = py_events:context(if Before =:= 0 -> start; true -> restart end, Data#data.id,
                           Generation, #{os_pid => Data#data.os_pid}),
    {next_state, ready, Next, [{next_event, internal, swap} | py_context_renewal:timers(Options)]}.

%%% The death of a helper

dying(collecting, #data{death = Death} = Data) ->
    case py_context_core:complete(Death) of
        true -> conclude(Data);
        false -> {keep_state, Data}
    end;
dying(State, #data{death = Death} = Data) when State =:= starting; State =:= ready ->
    case py_context_core:complete(Death) of
        true -> conclude(Data);
        false -> collect(Data)
    end;
dying(_, Data) ->
    {keep_state, Data}.

%% Half dead is dead: what is left of it is killed.
collect(#data{port = Port} = Data) ->
    ok = py_registry:publish(self(), starting),
    _ = py_port:kill(Port),
    ok = py_wait:abandon(Port),
    {next_state, collecting, Data, {state_timeout, ?COLLECT_MS, collected}}.

conclude(#data{port = Port, death = Death, os_pid = OsPid} = Data) ->
    Stderr = py_backtrace:strip(py_port:stderr(Port)),
    Verdict = py_context_core:verdict(Death, #{pid => OsPid, stderr => Stderr}),
    _ = py_port:fail(Port, Verdict),
    ok = py_wait:abandon(Port),
    ok = py_events:context(crash, Data#data.id, Data#data.generation,
                           #{os_pid => OsPid, reason => Verdict}),
    _ = erlang:send_after(?LINGER_MS, self(), {close_old, Port}),
    #data{old = Old, output = Output, restarts = Restarts} = Counted =
        py_context_renewal:count_past(Port, Data),
    Gone = cancel(Counted#data{port = none, output = py_output:new(),
                            backtrace = py_backtrace:gone(Data#data.backtrace),
                            old = Old#{Port => {Output, OsPid}}, restarts = Restarts + 1}),
    next(Verdict, Gone).

%% A helper that we no longer wait for ends when nobody takes it.  One's last
%% output may come after its end.
stray({py_helper, _, {spawned, Job, _, _}}, #data{runtime = Runtime}) ->
    ok = py_runtime:adopted(Runtime, Job),
    keep_state_and_data;
stray({Port, Message}, #data{old = Old} = Data) when is_map_key(Port, Old) ->
    {keep_state, old_port(Port, Message, Data)};
stray(_, _) ->
    keep_state_and_data.

old_port(Port, {output, Stream, Bytes}, #data{old = Old} = Data) ->
    #{Port := {Output, OsPid}} = Old,
    Plain = py_backtrace:strip(Bytes),
    Data#data{old = Old#{Port := {output(Stream, Plain, Output, OsPid, Data), OsPid}}};
old_port(Port, output_paused, Data) ->
    _ = py_port:more_output(Port),
    Data;
old_port(_, _, Data) ->
    Data.

%% As long as somebody may still ask it: a caller can be in a function that its
%% request called.
linger(Port, Data) ->
    case py_context_stats:counters(Port) of
        #{pending := N} when N > 0 ->
            _ = erlang:send_after(?LINGER_MS, self(), {close_old, Port}),
            Data;
        _ ->
            close_old(Port, Data)
    end.

%% @private
-spec close_old(port(), #data{}) -> #data{}.
close_old(Port, #data{old = Old} = Data) ->
    {{Output, OsPid}, Left} = maps:take(Port, Old),
    log_lines(py_output:flush(Output), OsPid, Data),
    ok = py_port:close(Port),
    Data#data{old = Left}.

%% One that never said hello could not be started, unless its zygote was lost:
%% then the runtime sees to it.  One that did say hello is replaced.
next({crashed, #{reason := runtime_down}}, #data{hello = Hello, boot_reason = none} = Data)
  when map_size(Hello) =:= 0 ->
    ask(Data);
next(Verdict, #data{hello = Hello, boot_reason = none} = Data) when map_size(Hello) =:= 0 ->
    back_off(Verdict, Data);
next(Verdict, #data{boot_reason = none, backoff = Backoff, label = Label} = Data) ->
    py_context_log:died(Label, Verdict),
    Crashed = Data#data{crashes = Data#data.crashes + 1},
    case py_backoff:failed(now_ms(), Backoff) of
        {0, Next} ->
            ask(Crashed#data{backoff = Next});
        {Pause, Next} ->
            rest(unavailable, Pause, Crashed#data{backoff = Next})
    end;
next(_, #data{boot_reason = Reason} = Data) ->
    back_off(Reason, Data).

back_off(Reason, #data{backoff = Backoff, opts = #{restart := #{min_backoff := Min}}} = Data) ->
    {Pause, Next} = py_backoff:failed(now_ms(), Backoff),
    rest(Reason, max(Min, Pause), Data#data{backoff = Next}).

rest(Reason, Pause, Data) ->
    ok = py_registry:publish(self(), {unavailable, Reason}),
    {next_state, backoff, Data, [{state_timeout, Pause, again}, {next_event, internal, swap}]}.

%%% The end of the context

%% Ask the helper to end, and see to it that it does.
wind_up(ready, #data{port = Port} = Data) ->
    _ = py_port:notice(Port, ?FRAME_STOP, <<>>),
    Deadline = py_request:deadline(terrarium_config:get(stop_timeout)),
    case await_exit(Deadline, Data) of
        {ok, Last} -> last_words(Last);
        {timeout, Last} -> wind_up(killed, Last)
    end;
wind_up(_, #data{port = Port} = Data) ->
    _ = py_port:kill(Port),
    {_, Last} = await_exit(py_request:deadline(?COLLECT_MS), Data),
    last_words(Last).

await_exit(Deadline, #data{port = Port, ref = Ref} = Data) ->
    receive
        {py_helper, Ref, {exited, _}} -> {ok, Data};
        {py_helper, Ref, zygote_down} -> {ok, Data};
        {'DOWN', Ref, process, _, _} -> {ok, Data};
        {Port, {output, _, _} = Message} ->
            {keep_state, Next} = port(Message, stopping, Data),
            await_exit(Deadline, Next);
        {Port, output_paused} ->
            _ = py_port:more_output(Port),
            await_exit(Deadline, Data);
        {Port, {callback, _} = Message} ->
            keep_state_and_data = port(Message, stopping, Data),
            await_exit(Deadline, Data)
    after py_request:left(Deadline) -> {timeout, Data}
    end.

%% What it wrote before it ended may still be on its way.
last_words(#data{port = Port, os_pid = OsPid} = Data) ->
    receive
        {Port, {output, _, _} = Message} ->
            {keep_state, Next} = port(Message, stopping, Data),
            last_words(Next)
    after ?LAST_WORDS_MS -> log_lines(py_output:flush(Data#data.output), OsPid, Data)
    end.

%%% Logging

output(Stream, Bytes, Output, OsPid, Data) ->
    {Lines, Rest} = py_output:add(Stream, Bytes, Output),
    log_lines([{Stream, Line} || Line <- Lines], OsPid, Data),
    Rest.

log_lines(_, _, #data{opts = #{log_output := false}}) ->
    ok;
log_lines(Lines, OsPid, #data{id = Id, label = Label}) ->
    py_context_log:lines(Label, Lines, #{context => Id, os_pid => OsPid}).

now_ms() ->
    erlang:monotonic_time(millisecond).
