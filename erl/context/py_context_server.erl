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
%% For py_context_renewal, and for py_context_run.
-export([ready/2, begun/3]).

-include("py_context_data.hrl").

%% How long the two halves of a helper's end may lie apart.
-define(COLLECT_MS, 1000).

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
init({Id, Given, Owner}) ->
    process_flag(trap_exit, true),
    case whereis(py_registry) of
        undefined ->
            {stop, not_started};
        _ ->
            Data = begun(Id, Given, Owner),
            ok = py_registry:publish(self(), starting),
            {ok, starting, Data, {next_event, internal, start}}
    end.

%% @private
%% The calling process is a context from now on.
-spec begun(term(), py_context_opts:options(), pid() | none) -> #data{}.
begun(Id, Given, Owner) ->
    Mon = case Owner of
              none -> none;
              _ -> erlang:monitor(process, Owner)
          end,
    Options = py_context_opts:counted(Given, #{}),
    ok = py_namespace:declare(Options),
    ok = py_log_level:here(Id),
    #data{id = Id, label = label(Id, Options), opts = Options, owner = Mon,
          backoff = py_backoff:new(maps:get(restart, Options)),
          death = py_context_core:new(), output = py_output:new()}.

%% How logs and the process itself call it.
label({new, N}, #{name := <<>>}) -> <<"{new,", (integer_to_binary(N))/binary, "}">>;
label(Id, #{name := <<>>}) -> iolist_to_binary(io_lib:format("~0tp", [Id]));
label(_, #{name := Name}) -> Name.

%% @private
-spec handle_event(gen_statem:event_type(), term(), atom(), #data{}) ->
    gen_statem:event_handler_result(atom()).
handle_event(internal, start, starting, Data) ->
    asked(Data);
handle_event({call, From}, await, State, _) ->
    awaited(State, From);
handle_event({call, From}, info, State, Data) ->
    {keep_state_and_data, {reply, From, {ok, py_context_info:map(State, Data)}}};
handle_event({call, From}, finish, _, Data) ->
    {stop, normal, Data#data{finishing = From}};
handle_event({call, From}, backtrace, ready, #data{port = Port, backtrace = Asked} = Data) ->
    {Next, Actions} = py_backtrace:ask(From, Port, Asked),
    {keep_state, Data#data{backtrace = Next}, Actions};
handle_event({call, From}, backtrace, backoff, _) ->
    {keep_state_and_data, {reply, From, {error, unavailable}}};
handle_event({call, _}, backtrace, _, _) ->
    {keep_state_and_data, postpone};
handle_event({timeout, backtrace}, Token, _, #data{backtrace = Asked} = Data) ->
    {keep_state, Data#data{backtrace = py_backtrace:gave_up(Token, Asked)}};
handle_event({call, From}, {renew, same}, State, Data) ->
    py_context_renewal:renew(From, same, State, Data);
handle_event({call, From}, {renew, Given}, State, #data{opts = Former} = Data) ->
    py_context_renewal:renew(From, py_context_opts:counted(Given, Former), State, Data);
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
handle_event(info, {py_release, Generation, Id}, _, _) ->
    ok = py_ref:collected(Generation, Id, py_registry:find(self(), Generation)),
    keep_state_and_data;
handle_event(info, {Port, Message}, State, #data{port = Port} = Data) when is_port(Port) ->
    port(Message, State, Data);
handle_event(info, {'EXIT', Port, Reason}, State, #data{port = Port} = Data) ->
    port({closed, Reason}, State, Data);
handle_event(info, {'EXIT', Pid, Reason}, _, _) when is_pid(Pid), Reason =/= normal ->
    {stop, Reason};
handle_event(info, {close_old, Port}, _, Data) ->
    {keep_state, py_context_old:linger(Port, Data)};
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
terminate(Reason, State, #data{port = Port} = Data) ->
    ok = py_registry:withdraw(self(), Data#data.generation),
    ok = py_context_swap:close(Reason, Data#data.swap),
    _ = [gen_server:cast(py_observer, {forget_context, self()})
         || py_log_level:has_own(self())],
    Exited = case Port of
                 none ->
                     _ = cancel(Data),
                     none;
                 _ ->
                     py_context_end:close(State, Reason, Data)
             end,
    _ = py_context_old:close_all(Data),
    finished(Exited, Data).

finished(_, #data{finishing = none}) ->
    ok;
finished(Exited, #data{finishing = From}) ->
    gen_statem:reply(From, py_context_stats:used(Exited)).

%%% Callers

awaited(ready, From) ->
    {keep_state_and_data, {reply, From, ok}};
awaited(backoff, From) ->
    {unavailable, Reason} = py_registry:find(self()),
    {keep_state_and_data, {reply, From, {error, Reason}}};
awaited(_, _) ->
    {keep_state_and_data, postpone}.

%%% Getting a helper

ask(Data) ->
    ok = py_registry:publish(self(), starting),
    asked(Data).

asked(#data{label = Label, opts = Options} = Data) ->
    Request = py_context_helper:request(Label, Options),
    Fresh = Data#data{death = py_context_core:new(), boot_reason = none, hello = #{},
                      port = none, os_pid = none, ref = none},
    case py_runtime:spawn_helper(maps:get(runtime, Options), Request) of
        {ok, Runtime, Ref} ->
            {next_state, starting, Fresh#data{runtime = Runtime, ref = Ref},
             {state_timeout, terrarium_config:get(start_timeout), start}};
        {error, Reason} ->
            back_off(Reason, Fresh)
    end.

helper({spawned, Job, OsPid, Token, Zygote, Layers}, starting, #data{port = none} = Data) ->
    case py_context_helper:open(Token, Zygote, Job, Data#data.runtime, Data#data.opts) of
        {ok, Port} -> {keep_state, Data#data{port = Port, os_pid = OsPid, layers = Layers}};
        stale -> keep_state_and_data;
        {error, Reason} -> back_off(Reason, cancel(Data))
    end;
helper({failed, Reason}, starting, Data) ->
    back_off(py_context_core:refusal(Reason), cancel(Data));
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
port({output, Stream, Bytes}, _, Data) ->
    {keep_state, py_context_output:came(Stream, Bytes, Data)};
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
                     interp_id = erlang:unique_integer([positive]), starter = none},
    ok = py_events:context(if Before =:= 0 -> start; true -> restart end, Data#data.id,
                           Generation, #{os_pid => Data#data.os_pid}),
    ok = answer_starter(ready, Data),
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
    Verdict = py_context_core:verdict(Death,
                                      #{pid => OsPid, stderr => Stderr,
                                        over => py_grants:is_over(Port), locked => locked(Data),
                                        hello => map_size(Data#data.hello) > 0}),
    _ = py_port:fail(Port, Verdict),
    ok = py_wait:abandon(Port),
    ok = py_events:context(crash, Data#data.id, Data#data.generation,
                           #{os_pid => OsPid, reason => Verdict}),
    ok = py_context_old:close_later(Port),
    #data{output = Output, restarts = Restarts} = Counted =
        py_context_renewal:count_past(Port, Data),
    Kept = py_context_old:add(Port, Output, OsPid, Counted),
    next(Verdict, cancel(Kept#data{port = none, output = py_output:new(),
                                   backtrace = py_backtrace:gone(Data#data.backtrace),
                                   restarts = Restarts + 1})).

locked(#data{opts = #{policy := Policy}}) ->
    py_policy:level(Policy) =/= trusted.

%% A helper that we no longer wait for ends when nobody takes it.  One's last
%% output may come after its end.
stray({py_helper, _, {spawned, Job, _, _, _, _}}, #data{runtime = Runtime}) ->
    ok = py_runtime:adopted(Runtime, Job, none),
    keep_state_and_data;
stray({Port, Message}, #data{old = Old} = Data) when is_map_key(Port, Old) ->
    {keep_state, py_context_old:message(Port, Message, Data)};
stray(_, _) ->
    keep_state_and_data.

%% One that never said hello could not be started, unless its zygote was lost:
%% then the runtime sees to it.  One that did say hello is replaced.
next(Verdict, #data{opts = #{single_use := true}, boot_reason = Boot} = Data) ->
    Reason = case Boot of
                 none -> Verdict;
                 _ -> Boot
             end,
    unavailable(Reason, Data, []);
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
    unavailable(Reason, Data, [{state_timeout, Pause, again}, {next_event, internal, swap}]).

unavailable(Reason, #data{starter = none} = Data, Actions) ->
    ok = py_registry:publish(self(), {unavailable, Reason}),
    {next_state, backoff, Data, Actions};
unavailable(Reason, Data, _) ->
    ok = answer_starter({unavailable, Reason}, Data),
    {stop, normal, Data}.

%% Who started it for a run waits for this, and does not ask.
answer_starter(_, #data{starter = none}) -> ok;
answer_starter(Answer, #data{starter = {Pid, Ref}}) ->
    _ = Pid ! {Ref, Answer},
    ok.

now_ms() ->
    erlang:monotonic_time(millisecond).
