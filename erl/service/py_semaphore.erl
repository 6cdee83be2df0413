%% SPDX-License-Identifier: Apache-2.0
%% @doc Counting semaphores: at most so many hold a slot, the others queue in the
%% order in which they came.  A slot is given back when its holder dies.
%%
%% There is one for the whole application, of `max_concurrent' slots
%% (configuration; two for each scheduler and one more), and as many others as
%% are made with `new/1'.
%% ```
%% {ok, V} = py_semaphore:with(fun() -> py:call(m, f, []) end, 5000).
%% '''
-module(py_semaphore).
-behaviour(gen_server).

-export([new/1, stop/1]).
-export([acquire/0, acquire/1, acquire/2, release/0, release/1, with/1, with/2, with/3]).
-export([current/0, current/1, max_concurrent/0, max_concurrent/1, set_max_concurrent/1,
         set_max_concurrent/2]).
%% For slots that Python holds.
-export([new/2, ask/2, of_application/0]).
-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([semaphore/0, overloaded/0]).

-opaque semaphore() :: {py_semaphore, pid() | py_semaphore}.

-type overloaded() :: {error, {overloaded, Current :: non_neg_integer(), Max :: pos_integer()}
                              | not_started | {invalid, timeout, term()}}.

-record(state, {max :: pos_integer(),
                owner = none :: none | reference(),
                held = 0 :: non_neg_integer(),
                %% Each slot is known by the monitor of its holder.
                holders = #{} :: #{pid() => [reference()]},
                waiting = queue:new() :: queue:queue({pid(), reference(), reference()})}).

%%% Semaphores

%% @doc A new semaphore with so many slots, which goes with the calling process.
-spec new(pos_integer()) -> {ok, semaphore()} | {error, {invalid, max, term()}}.
new(Max) ->
    new(Max, self()).

%% @private The same, going with another process.
-spec new(pos_integer(), pid()) -> {ok, semaphore()} | {error, {invalid, max, term()}}.
new(Max, Owner) when is_integer(Max), Max > 0 ->
    {ok, Pid} = gen_server:start(?MODULE, {Max, Owner}, []),
    {ok, {?MODULE, Pid}};
new(Max, _) ->
    {error, {invalid, max, Max}}.

%% @private That of the application.
-spec of_application() -> semaphore().
of_application() ->
    {?MODULE, ?MODULE}.

%% @doc End it; those who wait for it get `{error, not_started}'.
-spec stop(semaphore()) -> ok.
stop({?MODULE, Pid}) ->
    try
        gen_server:stop(Pid)
    catch
        exit:_ -> ok
    end.

%% @doc Take a slot of the application's semaphore, however long that takes.
-spec acquire() -> ok | overloaded().
acquire() ->
    acquire(infinity).

%% @doc Take a slot: of this semaphore, however long it takes, or of the
%% application's, for at most so many milliseconds.
-spec acquire(semaphore() | timeout()) -> ok | overloaded().
acquire({?MODULE, _} = Semaphore) ->
    acquire(Semaphore, infinity);
acquire(Timeout) ->
    take_in(?MODULE, Timeout).

%% @doc Take a slot; when none is free in time, `{error, {overloaded, Current,
%% Max}}'.  A process may hold several.
-spec acquire(semaphore(), timeout()) -> ok | overloaded().
acquire({?MODULE, Pid}, Timeout) ->
    take_in(Pid, Timeout).

%% Before anything is asked for.
take_in(Server, Timeout) ->
    case py_prepare:is_timeout(Timeout) of
        true -> take(Server, Timeout);
        false -> {error, {invalid, timeout, Timeout}}
    end.

%% The reference is made and waited for in this one function, as in py_request.
take(Server, Timeout) ->
    Ref = erlang:monitor(process, Server),
    cast(Server, {acquire, self(), Ref, Timeout =/= 0}),
    receive
        {Ref, Answer} -> answered(Ref, Answer);
        {'DOWN', Ref, process, _, _} -> {error, not_started}
    after Timeout ->
        cast(Server, {give_up, self(), Ref}),
        receive
            {Ref, Answer} -> answered(Ref, Answer);
            {'DOWN', Ref, process, _, _} -> {error, not_started}
        end
    end.

%% @private Ask for a slot: `{Ref, ok}' comes, or `{Ref, {error, {overloaded, Current,
%% Max}}}' if the caller does not queue, or that this monitor fires.
-spec ask(semaphore(), boolean()) -> reference().
ask({?MODULE, Server}, Waits) ->
    Ref = erlang:monitor(process, Server),
    cast(Server, {acquire, self(), Ref, Waits}),
    Ref.

answered(Ref, Answer) ->
    true = erlang:demonitor(Ref, [flush]),
    Answer.

cast(Server, Message) ->
    gen_server:cast(Server, Message).

%% @doc Give a slot of the application's semaphore back.
-spec release() -> ok | {error, not_held | not_started}.
release() ->
    call(?MODULE, release).

%% @doc Give a slot back that the calling process holds.
-spec release(semaphore()) -> ok | {error, not_held | not_started}.
release({?MODULE, Pid}) ->
    call(Pid, release).

%% @doc Run this while holding a slot of the application's semaphore.
-spec with(fun(() -> T)) -> T | overloaded().
with(Fun) ->
    with(Fun, infinity).

%% @doc The same, having waited for the slot for at most so long.
-spec with(fun(() -> T), timeout()) -> T | overloaded().
with(Fun, Timeout) ->
    held(?MODULE, Timeout, Fun).

%% @doc Run this while holding a slot.
-spec with(semaphore(), fun(() -> T), timeout()) -> T | overloaded().
with({?MODULE, Pid}, Fun, Timeout) ->
    held(Pid, Timeout, Fun).

held(Server, Timeout, Fun) ->
    case take_in(Server, Timeout) of
        ok ->
            try
                Fun()
            after
                _ = call(Server, release)
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc How many slots of the application's semaphore are held.
-spec current() -> non_neg_integer() | {error, not_started}.
current() ->
    call(?MODULE, current).

%% @doc How many slots are held.
-spec current(semaphore()) -> non_neg_integer() | {error, not_started}.
current({?MODULE, Pid}) ->
    call(Pid, current).

%% @doc How many slots the application's semaphore has.
-spec max_concurrent() -> pos_integer() | {error, not_started}.
max_concurrent() ->
    call(?MODULE, max).

%% @doc How many slots there are.
-spec max_concurrent(semaphore()) -> pos_integer() | {error, not_started}.
max_concurrent({?MODULE, Pid}) ->
    call(Pid, max).

%% @doc Change the application's; with fewer than are held none is taken away.
-spec set_max_concurrent(pos_integer()) -> ok | {error, {invalid, max, term()} | not_started}.
set_max_concurrent(Max) ->
    set(?MODULE, Max).

%% @doc Change the number of slots.
-spec set_max_concurrent(semaphore(), pos_integer()) ->
    ok | {error, {invalid, max, term()} | not_started}.
set_max_concurrent({?MODULE, Pid}, Max) ->
    set(Pid, Max).

set(Server, Max) when is_integer(Max), Max > 0 ->
    call(Server, {set_max, Max});
set(_, Max) ->
    {error, {invalid, max, Max}}.

call(Server, Request) ->
    try
        gen_server:call(Server, Request, infinity)
    catch
        exit:_ -> {error, not_started}
    end.

%%% The process

%% @private Start the application's semaphore.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    Max = case terrarium_config:get(max_concurrent) of
              auto -> erlang:system_info(schedulers) * 2 + 1;
              N -> N
          end,
    case gen_server:start_link({local, ?MODULE}, ?MODULE, {Max, none}, []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @private
-spec init({pos_integer(), pid() | none}) -> {ok, #state{}}.
init({Max, none}) ->
    {ok, #state{max = Max}};
init({Max, Owner}) ->
    {ok, #state{max = Max, owner = erlang:monitor(process, Owner)}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(release, {Pid, _}, #state{holders = Holders} = State) ->
    case Holders of
        #{Pid := [Monitor | Others]} ->
            true = erlang:demonitor(Monitor, [flush]),
            {reply, ok, serve(give_back(Pid, Others, 1, State))};
        _ ->
            {reply, {error, not_held}, State}
    end;
handle_call(current, _, #state{held = Held} = State) ->
    {reply, Held, State};
handle_call(max, _, #state{max = Max} = State) ->
    {reply, Max, State};
handle_call({set_max, Max}, _, State) ->
    {reply, ok, serve(State#state{max = Max})};
handle_call(_, _, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({acquire, Pid, Ref, Waits}, #state{held = Held, max = Max} = State) ->
    Monitor = erlang:monitor(process, Pid),
    if
        Held < Max -> {noreply, grant(Pid, Ref, Monitor, State)};
        Waits -> {noreply, enqueue({Pid, Ref, Monitor}, State)};
        true -> {noreply, refuse(Pid, Ref, Monitor, State)}
    end;
handle_cast({give_up, Pid, Ref}, #state{waiting = Waiting} = State) ->
    %% Not among them: it has been answered already.
    case [W || {_, R, _} = W <- queue:to_list(Waiting), R =:= Ref] of
        [{_, _, Monitor} = W] -> {noreply, refuse(Pid, Ref, Monitor, dequeue(W, State))};
        [] -> {noreply, State}
    end;
handle_cast(_, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({'DOWN', Owner, process, _, _}, #state{owner = Owner} = State) ->
    {stop, normal, State};
handle_info({'DOWN', Monitor, process, Pid, _}, #state{holders = Holders} = State) ->
    case Holders of
        #{Pid := Monitors} ->
            {noreply, serve(dead(Monitor, Monitors, Pid, State))};
        _ ->
            {noreply, never(Monitor, State)}
    end;
handle_info(_, State) ->
    {noreply, State}.

%% Each of a dead process's monitors tells: one slot each, or one place in the
%% queue.
dead(Monitor, Monitors, Pid, State) ->
    case lists:member(Monitor, Monitors) of
        true -> give_back(Pid, lists:delete(Monitor, Monitors), 1, State);
        false -> never(Monitor, State)
    end.

never(Monitor, #state{waiting = Waiting} = State) ->
    State#state{waiting = queue:filter(fun({_, _, M}) -> M =/= Monitor end, Waiting)}.

enqueue(Waiter, #state{waiting = Waiting} = State) ->
    State#state{waiting = queue:in(Waiter, Waiting)}.

dequeue(Waiter, #state{waiting = Waiting} = State) ->
    State#state{waiting = queue:filter(fun(W) -> W =/= Waiter end, Waiting)}.

grant(Pid, Ref, Monitor, #state{held = Held, holders = Holders} = State) ->
    _ = Pid ! {Ref, ok},
    Mine = maps:get(Pid, Holders, []),
    State#state{held = Held + 1, holders = Holders#{Pid => [Monitor | Mine]}}.

refuse(Pid, Ref, Monitor, #state{held = Held, max = Max} = State) ->
    true = erlang:demonitor(Monitor, [flush]),
    _ = Pid ! {Ref, {error, {overloaded, Held, Max}}},
    State.

give_back(Pid, [], N, #state{held = Held, holders = Holders} = State) ->
    State#state{held = Held - N, holders = maps:remove(Pid, Holders)};
give_back(Pid, Left, N, #state{held = Held, holders = Holders} = State) ->
    State#state{held = Held - N, holders = Holders#{Pid := Left}}.

%% Slots are free: the first in the queue are next.
serve(#state{held = Held, max = Max, waiting = Waiting} = State) when Held < Max ->
    case queue:out(Waiting) of
        {empty, _} -> State;
        {{value, {Pid, Ref, Monitor}}, Rest} ->
            serve(grant(Pid, Ref, Monitor, State#state{waiting = Rest}))
    end;
serve(State) ->
    State.
