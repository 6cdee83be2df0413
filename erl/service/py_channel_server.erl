%% SPDX-License-Identifier: Apache-2.0
%% @doc The process of a channel: a queue, who waits for something to come into
%% it, and how many bytes may lie in it.
%%
%% Kinds: `term' hands out what was put in; `bytes' the same for binaries;
%% `stream' hands out bytes without regard to how they were put in.
%%
%% It ends with its owner, and some time after it is closed and empty (what was
%% received may be put back): a process that is no more is a closed channel.
-module(py_channel_server).
-behaviour(gen_server).

-export([start_link/3, send/3, give_back/3, close/1, info/1, try_receive/2]).
-export([recv/4]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([kind/0, outcome/0]).

-type kind() :: term | bytes | stream.

-type outcome() :: {ok, term()} | closed | timeout | empty | cancelled.

%% From closed and empty to the end.
-define(LINGER_MS, 1000).

-record(state, {kind :: kind(),
                owner :: reference(),
                max :: pos_integer() | infinity,
                size = 0 :: non_neg_integer(),
                closed = false :: boolean(),
                items = queue:new() :: queue:queue({non_neg_integer(), term()}),
                %% In the order in which they came.
                waiting = queue:new() :: queue:queue({pid(), reference(), pos_integer() | all}),
                %% Their monitors.
                monitors = #{} :: #{reference() => reference()}}).

%%% The interface

%% @doc Start a channel that belongs to this process.
-spec start_link(kind(), pid(), pos_integer() | infinity) -> {ok, pid()} | {error, term()}.
start_link(Kind, Owner, Max) ->
    case gen_server:start_link(?MODULE, {Kind, Owner, Max}, []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @doc Put an item of so many bytes in.
-spec send(pid(), non_neg_integer(), term()) -> ok | busy | closed.
send(Channel, Size, Item) ->
    call(Channel, {send, Size, Item}, closed).

%% @doc Put back what was received and not used: it comes out first.
-spec give_back(pid(), non_neg_integer(), term()) -> ok | closed.
give_back(Channel, Size, Item) ->
    call(Channel, {give_back, Size, Item}, closed).

%% @doc Let nothing more in.
-spec close(pid()) -> ok.
close(Channel) ->
    call(Channel, close, ok).

%% @doc Bytes in it, and whether it is closed.
-spec info(pid()) -> {non_neg_integer(), boolean()}.
info(Channel) ->
    call(Channel, info, {0, true}).

%% @doc What comes next, if it is there; of a stream at most so many bytes.
-spec try_receive(pid(), pos_integer() | all) -> outcome().
try_receive(Channel, Most) ->
    call(Channel, {try_receive, Most}, closed).

call(Channel, Request, IfGone) ->
    try
        gen_server:call(Channel, Request, infinity)
    catch
        exit:_ -> IfGone
    end.

%% @doc Wait for what comes next; with a token on behalf of Python (`py_wait').
%% The reference is made and waited for in this one function: that is what lets
%% the compiler skip the messages that were there before it.
-spec recv(pid(), pos_integer() | all, timeout(), term()) -> outcome().
recv(Channel, Most, Timeout, Token) ->
    Ref = erlang:monitor(process, Channel),
    Wait = py_wait:enter(Ref, Token),
    _ = Channel ! {recv, self(), Ref, Most},
    receive
        {Ref, cancelled} -> ended(Channel, Ref, Wait, cancelled);
        {Ref, Outcome} -> received(Ref, Wait, Outcome);
        {Ref, _, _, _, _} -> ended(Channel, Ref, Wait, helper_gone);
        {'DOWN', Ref, process, _, _} -> received(Ref, Wait, closed)
    after Timeout ->
        ended(Channel, Ref, Wait, timeout)
    end.

received(Ref, Wait, Outcome) ->
    ok = py_wait:leave(Wait, Outcome),
    true = erlang:demonitor(Ref, [flush]),
    Outcome.

%% Something may be on its way: it is not lost, but put back, or taken if all
%% that ended was the time.
ended(Channel, Ref, Wait, Why) ->
    ok = py_wait:leave(Wait, Why),
    _ = Channel ! {stop_waiting, self(), Ref},
    receive
        {Ref, stopped} -> done(Ref, late(Why));
        {Ref, Outcome} when Why =:= timeout -> done(Ref, Outcome);
        {Ref, Outcome} -> put_back(Channel, Outcome), done(Ref, late(Why));
        {'DOWN', Ref, process, _, _} -> closed
    end.

late(timeout) -> timeout;
late(_) -> cancelled.

done(Ref, Outcome) ->
    true = erlang:demonitor(Ref, [flush]),
    Outcome.

put_back(Channel, {ok, Item}) ->
    _ = give_back(Channel, size_of(Item), Item),
    ok;
put_back(_, _) ->
    ok.

size_of({bytes, Data}) -> byte_size(Data);
size_of(Item) -> erlang:external_size(Item).

%%% The process

%% @private
-spec init({kind(), pid(), pos_integer() | infinity}) -> {ok, #state{}}.
init({Kind, Owner, Max}) ->
    {ok, #state{kind = Kind, owner = erlang:monitor(process, Owner), max = Max}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({send, _, _}, _, #state{closed = true} = State) ->
    {reply, closed, State};
handle_call({send, Size, Item}, _, State) ->
    case has_room(Size, State) of
        true -> {reply, ok, feed(add(fun queue:in/2, Size, Item, State))};
        false -> {reply, busy, State}
    end;
handle_call({give_back, Size, Item}, _, State) ->
    {reply, ok, feed(add(fun queue:in_r/2, Size, Item, State))};
handle_call({try_receive, Most}, _, State) ->
    case take(Most, State) of
        {empty, #state{closed = true} = Same} -> {reply, closed, Same};
        {empty, Same} -> {reply, empty, Same};
        {Item, Less} -> {reply, {ok, Item}, drained(Less)}
    end;
handle_call(info, _, #state{size = Size, closed = Closed} = State) ->
    {reply, {Size, Closed}, State};
handle_call(close, _, State) ->
    {reply, ok, drained(nobody_waits(State#state{closed = true}))};
handle_call(_, _, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({recv, Pid, Ref, Most}, State) ->
    case take(Most, State) of
        {empty, #state{closed = true} = Same} ->
            _ = Pid ! {Ref, closed},
            {noreply, Same};
        {empty, Same} ->
            {noreply, wait(Pid, Ref, Most, Same)};
        {Item, Less} ->
            _ = Pid ! {Ref, {ok, Item}},
            {noreply, drained(Less)}
    end;
handle_info({stop_waiting, Pid, Ref}, State) ->
    %% Not among them: it has been given something already.
    {noreply, forget(Ref, fun() -> Pid ! {Ref, stopped} end, State)};
handle_info(drained, State) ->
    case is_drained(State) of
        true -> {stop, normal, State};
        false -> {noreply, State}
    end;
handle_info({'DOWN', Owner, process, _, _}, #state{owner = Owner} = State) ->
    {stop, normal, State};
handle_info({'DOWN', Monitor, process, _, _}, #state{monitors = M} = State) ->
    case [Ref || {Ref, Mon} <- maps:to_list(M), Mon =:= Monitor] of
        [Ref] -> {noreply, forget(Ref, fun() -> ok end, State)};
        [] -> {noreply, State}
    end;
handle_info(_, State) ->
    {noreply, State}.

%%% The queue

%% What alone is too large goes into an empty channel: else it never could.
has_room(_, #state{max = infinity}) -> true;
has_room(_, #state{size = 0}) -> true;
has_room(Size, #state{size = Before, max = Max}) -> Before + Size =< Max.

add(In, Size, Item, #state{items = Items, size = Before} = State) ->
    State#state{items = In({Size, Item}, Items), size = Before + Size}.

take(Most, #state{kind = stream} = State) ->
    take_bytes(Most, [], State);
take(_, #state{items = Items, size = Size} = State) ->
    case queue:out(Items) of
        {empty, _} -> {empty, State};
        {{value, {Bytes, Item}}, Rest} -> {Item, State#state{items = Rest, size = Size - Bytes}}
    end.

%% As much as is there, at most so many bytes.
take_bytes(Most, Taken, #state{items = Items, size = Size} = State) ->
    case queue:out(Items) of
        {empty, _} when Taken =:= [] ->
            {empty, State};
        {{value, {Bytes, {bytes, Data}}}, Rest} when Bytes =< Most ->
            take_bytes(less(Most, Bytes), [Data | Taken],
                       State#state{items = Rest, size = Size - Bytes});
        {{value, {Bytes, {bytes, Data}}}, Rest} when is_integer(Most), Most > 0 ->
            <<Head:Most/binary, Tail/binary>> = Data,
            Left = queue:in_r({Bytes - Most, {bytes, Tail}}, Rest),
            {joined([Head | Taken]), State#state{items = Left, size = Size - Most}};
        _ ->
            {joined(Taken), State}
    end.

less(all, _) -> all;
less(Most, Bytes) -> Most - Bytes.

joined([Data]) -> {bytes, Data};
joined(Taken) -> {bytes, iolist_to_binary(lists:reverse(Taken))}.

is_drained(#state{closed = Closed, items = Items}) ->
    Closed andalso queue:is_empty(Items).

drained(State) ->
    _ = is_drained(State) andalso erlang:send_after(?LINGER_MS, self(), drained),
    State.

%%% Those who wait

wait(Pid, Ref, Most, #state{waiting = Waiting, monitors = M} = State) ->
    State#state{waiting = queue:in({Pid, Ref, Most}, Waiting),
                monitors = M#{Ref => erlang:monitor(process, Pid)}}.

%% Give what is there to those who wait, the first first.
feed(#state{waiting = Waiting} = State) ->
    case queue:out(Waiting) of
        {empty, _} -> State;
        {{value, {Pid, Ref, Most}}, Rest} -> feed(Pid, Ref, take(Most, State), Rest)
    end.

feed(_, _, {empty, State}, _) ->
    State;
feed(Pid, Ref, {Item, State}, Rest) ->
    _ = Pid ! {Ref, {ok, Item}},
    feed(unwatch(Ref, State#state{waiting = Rest})).

forget(Ref, IfThere, #state{waiting = Waiting, monitors = M} = State) ->
    case is_map_key(Ref, M) of
        true ->
            _ = IfThere(),
            Rest = queue:filter(fun({_, Other, _}) -> Other =/= Ref end, Waiting),
            unwatch(Ref, State#state{waiting = Rest});
        false ->
            State
    end.

unwatch(Ref, #state{monitors = M} = State) ->
    {Monitor, Others} = maps:take(Ref, M),
    true = erlang:demonitor(Monitor, [flush]),
    State#state{monitors = Others}.

nobody_waits(#state{waiting = Waiting} = State) ->
    lists:foldl(fun({Pid, Ref, _}, Acc) ->
                        _ = Pid ! {Ref, closed},
                        unwatch(Ref, Acc)
                end, State#state{waiting = queue:new()}, queue:to_list(Waiting)).
