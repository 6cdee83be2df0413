%% SPDX-License-Identifier: Apache-2.0
%% @doc The courier of a helper: delivers what its Python sends.
%%
%% Python gives each receiver a number and has it watched (`watch/3') before it
%% sends to it.  The driver hands the courier each SEND frame as
%% `{py_send, Body}' and stops reading from the helper while too much of that is
%% not yet delivered, so a slow courier costs no memory.  When a receiver is
%% gone the helper is told with a GONE frame.
%%
%% It also holds the segments of shared memory that this Python has open
%% (`py_holds'), so those of a helper that died are let go of with it.
%%
%% It lives as long as the port, and delivers what is in its mailbox before it
%% ends.  The context's process starts it, and needs not know it.  That of a helper
%% which is used once is started by whoever has something for it: few ever have, and
%% Python asks to have a receiver watched, or a segment held, before it sends the first
%% message.  So a message without a courier is a violation, as the driver says.
-module(py_courier).
-behaviour(gen_server).

-export([start_link/1, watch/3, hold/3, held/2, in_transit/2, handles/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([receiver/0]).

-include("../../port/py_wire.hrl").
-include_lib("kernel/include/logger.hrl").

-type receiver() :: pid() | atom() | {atom(), node()}.

%% What each message costs beside its bytes; the driver counts the same.
-define(ACK_AT, (?WIRE_SEND_CREDIT div 4)).
%% A reason of more bytes is not told to Python.
-define(MAX_REASON, 65536).
%% Milliseconds between two looks at what waits to be let go of.
-define(SWEEP, 1000).

-record(state, {port :: port(),
                receivers = #{} :: #{integer() => {receiver(), reference()}},
                monitors = #{} :: #{reference() => integer()},
                unsaid = 0 :: non_neg_integer(),      % delivered, the driver was not told
                holds = py_holds:new() :: py_holds:holds(),
                sweeping = false :: boolean(),
                undeliverable = 0 :: non_neg_integer(),
                handles = none :: py_handles:handles() | none}).

%% @doc Start the courier of this port's helper.
-spec start_link(port()) -> {ok, pid()} | {error, term()}.
start_link(Port) ->
    case gen_server:start_link(?MODULE, Port, []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @doc From now on this number means this receiver.
-spec watch(port(), pos_integer(), receiver()) -> ok | full | gone.
watch(Port, Number, Receiver) ->
    ask(Port, {watch, Number, Receiver}).

%% @doc Python has this segment open under this token, until it says otherwise.
-spec hold(port(), integer(), py_shm:t()) -> ok | full | gone.
hold(Port, Token, Shm) ->
    ask(Port, {hold, Token, Shm}).

%% @doc The segment that Python has open under this token.
-spec held(port(), integer()) -> {ok, py_shm:t()} | none.
held(Port, Token) ->
    case ask(Port, {held, Token}) of
        gone -> none;
        Answer -> Answer
    end.

%% @doc This term goes to Python, and maybe nobody but Python has it any more: its
%% segments are held until they are open there.
-spec in_transit(port(), term()) -> ok.
in_transit(Port, Term) ->
    _ = ask(Port, {in_transit, Term}),
    ok.

%% @doc What the helper has in the place of identifiers.
-spec handles(port()) -> py_handles:handles() | none.
handles(Port) ->
    case ask(Port, handles) of
        gone -> none;
        Handles -> Handles
    end.

ask(Port, Question) ->
    case of_port(Port) of
        none ->
            gone;
        Courier ->
            try
                gen_server:call(Courier, Question, infinity)
            catch
                exit:_ -> gone
            end
    end.

of_port(Port) ->
    case py_registry:courier(Port) of
        none -> started(Port);
        Courier -> Courier
    end.

%% Of those that several processes start at once one goes on.
started(Port) ->
    case gen_server:start(?MODULE, {on_demand, Port}, []) of
        {ok, Courier} -> Courier;
        ignore -> py_registry:courier(Port);
        {error, _} -> none
    end.

%% @private
-spec init(port() | {on_demand, port()}) -> {ok, #state{}} | ignore | {stop, term()}.
init({on_demand, Port}) ->
    case erlang:port_info(Port, connected) of
        {connected, Context} -> in_the_name_of(Context, Port);
        undefined -> {stop, normal}
    end;
init(Port) ->
    process_flag(trap_exit, true),
    case py_registry:put_courier(Port, self()) of
        true -> begun(Port, py_port:carry(Port));
        false -> ignore
    end.

%% It belongs to the context, as if that had started it.
in_the_name_of(Context, Port) ->
    process_flag(trap_exit, true),
    case erlang:process_info(Context, group_leader) of
        {group_leader, Leader} ->
            true = group_leader(Leader, self()),
            true = link(Context),
            init(Port);
        undefined ->
            {stop, normal}
    end.

begun(Port, ok) ->
    _ = erlang:monitor(port, Port),
    ok = py_handles:open(Port),
    {ok, #state{port = Port, handles = py_registry:handles(Port)}};
begun(Port, {error, Reason}) ->
    ok = py_registry:drop_courier(Port),
    {stop, {shutdown, Reason}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({watch, _, _}, _, #state{receivers = R} = State) when map_size(R) >= ?WIRE_RECEIVERS ->
    {reply, full, State};
handle_call({watch, Number, Receiver}, _, State) ->
    #state{receivers = R, monitors = M} = Fresh = forget(Number, State),
    Monitor = erlang:monitor(process, Receiver),
    {reply, ok, Fresh#state{receivers = R#{Number => {Receiver, Monitor}},
                            monitors = M#{Monitor => Number}}};
handle_call({hold, Token, Shm}, _, #state{holds = Holds} = State) ->
    {Answer, More} = py_holds:hold(Token, Shm, Holds),
    {reply, Answer, State#state{holds = More}};
handle_call({held, Token}, _, #state{holds = Holds} = State) ->
    {reply, py_holds:held(Token, Holds), State};
handle_call(handles, _, #state{handles = Handles} = State) ->
    {reply, Handles, State};
handle_call({in_transit, Term}, _, #state{holds = Holds} = State) ->
    {reply, ok, sweep_later(State#state{holds = py_holds:in_transit(Term, Holds)})};
handle_call(_, _, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({py_send, Body}, State) ->
    {noreply, said(byte_size(Body) + ?WIRE_SEND_OVERHEAD, deliver(Body, State))};
handle_info({'DOWN', _, _, Port, _}, #state{port = Port} = State) ->
    {stop, normal, State};
handle_info({'DOWN', Monitor, process, _, Reason}, #state{monitors = M} = State) ->
    case M of
        #{Monitor := Number} -> {noreply, gone(Number, Reason, State)};
        _ -> {noreply, State}
    end;
handle_info(sweep, #state{holds = Holds} = State) ->
    {noreply, sweep_later(State#state{holds = py_holds:sweep(Holds), sweeping = false})};
handle_info(_, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_, #state{port = Port}) ->
    ok = py_grants:drop(Port),
    py_registry:drop_courier(Port).

%%% Delivery

deliver(Body, #state{handles = Handles} = State) ->
    try py_handles:taken(Handles, Body, binary_to_term(Body, [safe])) of
        {ok, {0, {<<"forget">>, Number}}} -> forget(Number, State);
        {ok, {0, {<<"release">>, Token, Sent}}}
          when Sent >= 0, Sent < 1 bsl 64, is_integer(Sent) ->
            release(Token, Sent, State);
        {ok, {Number, Term}} -> to(Number, Term, State);
        {ok, _} -> State;
        {error, forgotten} -> undeliverable(Body, State);
        {error, forged} -> forged(State)
    catch
        error:badarg -> undeliverable(Body, State)
    end.

forged(#state{port = Port} = State) ->
    _ = py_port:violated(Port),
    State.

%% Python may not know yet that the receiver is gone.
to(Number, Term, #state{receivers = R} = State) ->
    case R of
        #{Number := {Pid, _}} when is_pid(Pid) ->
            _ = Pid ! Term,
            State;
        #{Number := {Name, _}} ->
            to_name(Name, Number, Term, State);
        _ ->
            State
    end.

to_name(Name, Number, Term, State) ->
    try Name ! Term of
        _ -> State
    catch
        error:badarg -> gone(Number, noproc, State)
    end.

%% Nobody waits who could be told; the log is, but not each time.
undeliverable(Body, #state{undeliverable = N, port = Port} = State) ->
    case N band (N + 1) of
        0 -> log(Body, N + 1, Port);
        _ -> ok
    end,
    State#state{undeliverable = N + 1}.

log(Body, N, Port) ->
    Why = case py_etf_atoms:unknown(Body) of
              {ok, Name} -> ["holds the unknown atom ", py_shown:text(Name)];
              none -> "can not be decoded, or holds an identifier that is forgotten"
          end,
    ?LOG_WARNING("Python behind ~p has sent a message that ~ts; it is dropped (~b so far)",
                 [Port, Why, N]).

%% In parts, so that the driver never waits for the last word.
said(Bytes, #state{unsaid = Unsaid, port = Port} = State) when Unsaid + Bytes >= ?ACK_AT ->
    _ = py_port:carried(Port, Unsaid + Bytes),
    State#state{unsaid = 0};
said(Bytes, #state{unsaid = Unsaid} = State) ->
    State#state{unsaid = Unsaid + Bytes}.

%%% Segments

release(Token, Sent, #state{holds = Holds} = State) ->
    sweep_later(State#state{holds = py_holds:release(Token, Sent, Holds)}).

sweep_later(#state{holds = Holds, sweeping = false} = State) ->
    case py_holds:is_waiting(Holds) of
        true ->
            _ = erlang:send_after(?SWEEP, self(), sweep),
            State#state{sweeping = true};
        false ->
            State
    end;
sweep_later(State) ->
    State.

%%% Receivers

forget(Number, #state{receivers = R, monitors = M} = State) ->
    case maps:take(Number, R) of
        {{_, Monitor}, Others} ->
            true = erlang:demonitor(Monitor, [flush]),
            State#state{receivers = Others, monitors = maps:remove(Monitor, M)};
        error ->
            State
    end.

gone(Number, Reason, #state{port = Port, handles = Handles} = State) ->
    Told = py_handles:given(Handles, tellable(Reason)),
    _ = py_port:notice(Port, ?FRAME_GONE, term_to_binary({Number, Told})),
    forget(Number, State).

tellable(Reason) ->
    case erlang:external_size(Reason) =< ?MAX_REASON of
        true -> Reason;
        false -> too_large
    end.
