%% SPDX-License-Identifier: Apache-2.0
%% @doc At most so many calls of a pool at a time (its option `max_calls').
%%
%% Whoever makes a call has a slot meanwhile; who finds none is told so at once.
%% The slot is kept on the stack of the process that makes the call, and nowhere
%% else: so it is given back however that process ends.
-module(py_limit).

-export([new/1, follow/2, change/2, read/1, run/2, run/3]).

-export_type([limit/0]).

-define(HELD, '$py_limits').

-opaque limit() :: reference().

%% @doc A limit; `infinity' is none.
-spec new(pos_integer() | infinity) -> limit() | none.
new(infinity) -> none;
new(Max) -> py_slot_nif:new(Max).

%% @doc The limit that is to follow this one: the same, so that calls under way count.
%% How many it allows stays as it is until `change/2'.
-spec follow(limit() | none, pos_integer() | infinity) -> limit() | none.
follow(Limit, Max) when Limit =:= none; Max =:= infinity -> new(Max);
follow(Limit, _) -> Limit.

%% @doc The limit that follows this one, and from now on allows so many.
-spec change(limit() | none, pos_integer() | infinity) -> limit() | none.
change(Former, Max) ->
    Limit = follow(Former, Max),
    _ = [ok = py_slot_nif:set(Limit, Max) || Limit =/= none],
    Limit.

%% @doc How many calls are under way, and how many may be.
-spec read(limit()) -> {non_neg_integer(), pos_integer()}.
read(Limit) ->
    {Taken, Max} = py_slot_nif:read(Limit),
    true = Max > 0,
    {Taken, Max}.

%% @doc Do this while holding a slot.  What a function does that Python called
%% belongs to the call that is under way in this process.
-spec run(limit(), fun(() -> Result)) -> Result | {error, {overloaded, integer(), integer()}}.
run(Limit, Run) ->
    run(Limit, Run, fun(Full) -> Full end).

%% @doc The same; this is done where there is no slot, with the error that it is.
-spec run(limit(), fun(() -> Result),
          fun(({error, {overloaded, integer(), integer()}}) -> Result)) -> Result.
run(Limit, Run, Full) ->
    Held = held(),
    case lists:member(Limit, Held) of
        true -> Run();
        false ->
            case py_slot_nif:take(Limit) of
                {Current, Max} -> Full({error, {overloaded, Current, Max}});
                Slot -> holding(Slot, Limit, Held, Run)
            end
    end.

holding(Slot, Limit, Held, Run) ->
    _ = put(?HELD, [Limit | Held]),
    try
        Run()
    after
        _ = case Held of
                [] -> erase(?HELD);
                _ -> put(?HELD, Held)
            end,
        ok = py_slot_nif:give(Slot)
    end.

held() ->
    case get(?HELD) of
        undefined -> [];
        Held -> Held
    end.
