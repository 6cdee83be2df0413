%% SPDX-License-Identifier: Apache-2.0
%% @doc A fresh helper for a context that serves: when it is asked for, when its
%% options say so (`recycle'), and how it takes over.
%%
%% A part of `py_context_server', whose data it changes; `py_context_swap' knows
%% the helpers that stand beside the one that serves.
-module(py_context_renewal).

-export([timers/1, timeout/3, recycle/1, renew/4, event/3, swap/2, count_past/2]).

-include_lib("kernel/include/logger.hrl").
-include("py_context_data.hrl").

%% How often the memory of a helper that must not grow is looked at.
-define(LOOK_MS, 1000).
%% How soon a helper that could not be renewed is tried again.
-define(RENEW_AGAIN_MS, 5000).

-type result() :: {keep_state, #data{}} | {keep_state, #data{}, [gen_statem:action()]}
                | {next_state, ready, #data{}, [gen_statem:action()]}.

%% @doc Timers that begin when a helper does.  Contexts that began together do
%% not all change together.
-spec timers(py_context_opts:options()) -> [gen_statem:action()].
timers(#{recycle := #{age := Age} = Limits}) ->
    [{{timeout, age}, Age - rand:uniform(1 + Age div 10) + 1, renew} | memory(Limits)];
timers(#{recycle := Limits}) ->
    [{{timeout, age}, cancel} | memory(Limits)];
timers(_) ->
    [].

memory(#{memory := _}) -> [{{timeout, memory}, ?LOOK_MS, look}];
memory(_) -> [].

%% @doc One of these timers has run out.
-spec timeout(age | memory, renew | look, #data{}) -> result().
timeout(age, renew, Data) ->
    recycle(Data);
timeout(memory, look, #data{os_pid = OsPid, opts = #{recycle := #{memory := Max}}} = Data)
  when is_integer(OsPid) ->
    Again = {{timeout, memory}, ?LOOK_MS, look},
    case py_context_stats:rss(OsPid) of
        Rss when is_integer(Rss), Rss > Max -> and_then(Again, recycle(Data));
        _ -> {keep_state, Data, [Again]}
    end;
timeout(_, _, Data) ->
    {keep_state, Data}.

and_then(Action, {keep_state, Data}) -> {keep_state, Data, [Action]};
and_then(Action, {keep_state, Data, Actions}) -> {keep_state, Data, [Action | Actions]}.

%% @doc It is time for a fresh helper.  One at a time: where a former one is
%% still at work, it is done later.
-spec recycle(#data{}) -> result().
recycle(#data{swap = Swap, opts = Options} = Data) ->
    case py_context_swap:is_going_on(Swap) of
        true -> {keep_state, Data, [{{timeout, age}, ?LOOK_MS, renew}]};
        false -> begin_swap(none, Options, Data)
    end.

%% @doc Somebody asks for a fresh helper, with these options or the same.
-spec renew(gen_statem:from(), same | py_context_opts:options(), atom(), #data{}) -> result().
renew(_, _, State, Data) when State =:= starting; State =:= collecting ->
    {keep_state, Data, [postpone]};
renew(From, same, State, #data{opts = Options} = Data) ->
    renew(From, Options, State, Data);
renew(From, Options, _, #data{swap = Swap} = Data) ->
    case py_context_swap:await({From, Options}, Swap) of
        {ok, Next} -> {keep_state, Data#data{swap = Next}};
        no -> begin_swap(From, Options, Data)
    end.

begin_swap(From, Options, #data{label = Label, swap = Swap} = Data) ->
    Timeout = terrarium_config:get(start_timeout),
    case py_context_swap:start(Label, Options, From, Timeout, Swap) of
        {ok, Dropped, Next} ->
            {keep_state, dropped(Dropped, Data#data{swap = Next})};
        {error, Reason, Dropped, Next} ->
            not_renewed(Reason, [From || From =/= none],
                        dropped(Dropped, Data#data{swap = Next}))
    end.

dropped(none, Data) -> Data;
dropped(Port, Data) -> py_context_old:close(Port, Data).

%% @doc What a message means that is not for the port that serves; `unknown':
%% nothing here.
-spec event(term(), atom(), #data{}) -> unknown | result().
event(Message, State, #data{swap = Swap} = Data) ->
    case py_context_swap:event(Message, Swap) of
        unknown -> unknown;
        {keep, Next} -> {keep_state, Data#data{swap = Next}};
        {ready, Next} -> is_ready(py_context_swap:stale(Next), State, Data#data{swap = Next});
        {opened, Port, OsPid, Next} ->
            Opened = py_context_old:add(Port, py_output:new(), OsPid, Data),
            {keep_state, Opened#data{swap = Next}};
        {failed, Reason, Port, Waiting, Next} ->
            not_renewed(Reason, Waiting, dropped(Port, Data#data{swap = Next}));
        {gone, Port, How, Next} ->
            ok = py_context_old:close_later(Port),
            {keep_state, retired_gone(How, count_past(Port, Data#data{swap = Next}))}
    end.

%% A module that all contexts shall have was imported by the former helper, and
%% may not be in the next one: once more.
is_ready(false, State, Data) -> swap(State, Data);
is_ready({true, Options}, _, Data) -> begin_swap(none, Options, Data).

retired_gone(none, Data) ->
    Data;
retired_gone(Verdict, #data{label = Label, crashes = Crashes} = Data) ->
    py_context_log:died(Label, Verdict),
    Data#data{crashes = Crashes + 1}.

%% @doc What a port that has ended counted is not forgotten.
-spec count_past(port(), #data{}) -> #data{}.
count_past(Port, #data{past = Past} = Data) ->
    Counters = maps:without([pending, outstanding], py_context_stats:counters(Port)),
    Data#data{past = py_context_stats:add(Past, Counters)}.

not_renewed(Reason, [], #data{label = Label} = Data) ->
    ?LOG_WARNING("Python context ~ts keeps its process: a fresh one can not be started (~0tp)",
                 [Label, Reason]),
    {keep_state, Data, [{{timeout, age}, ?RENEW_AGAIN_MS, renew}]};
not_renewed(Reason, Waiting, Data) ->
    {keep_state, Data, [{reply, From, {error, Reason}} || From <- Waiting]}.

%% @doc The next helper, if it is ready, takes over where one serves or none can.
-spec swap(atom(), #data{}) -> result().
swap(State, #data{swap = Swap} = Data) when State =:= ready; State =:= backoff ->
    case py_context_swap:take(Swap) of
        {Helper, Waiting, Next} -> swapped(Helper, Waiting, Data#data{swap = Next});
        none -> {keep_state, Data}
    end;
swap(_, Data) ->
    {keep_state, Data}.

swapped(#{port := Port, ref := Ref, runtime := Runtime, os_pid := OsPid, opts := Options,
          hello := Etf, layers := Layers}, Waiting, #data{renewals = Renewals} = Data) ->
    {Output, OsPid, Left} = py_context_old:take(Port, Data),
    Next = Left#data{port = Port, ref = Ref, runtime = Runtime, os_pid = OsPid, opts = Options,
                     layers = Layers, output = Output, death = py_context_core:new(),
                     boot_reason = none, renewals = Renewals + 1},
    %% Before the next one is found, so that nobody who has a reference finds neither.
    Row = kept(Data),
    ok = py_context_opts:in_force(Options),
    {next_state, ready, Ready, Actions} = py_context_server:ready(Etf, Next),
    Replies = [{reply, From, ok} || From <- Waiting],
    {next_state, ready, retire(Row, Data, Ready), Replies ++ Actions}.

kept(#data{port = none}) ->
    none;
kept(#data{port = Port, generation = Generation, opts = Options}) ->
    Row = {ready, Port, Generation, py_context_opts:limits(Options),
           py_context_opts:form(Options)},
    ok = py_registry:keep(self(), Row),
    Row.

%% What served until now has no new requests from here on, but for its objects.
retire(none, _, Data) ->
    Data;
retire(Row, #data{port = Port, ref = Ref, runtime = Runtime, os_pid = OsPid, output = Output,
                  opts = #{retire_ms := Keep, policy := Policy}},
       #data{swap = Swap} = Data) ->
    Helper = #{port => Port, ref => Ref, runtime => Runtime, os_pid => OsPid, row => Row,
               retire_ms => Keep, locked => py_policy:level(Policy) =/= trusted},
    py_context_old:add(Port, Output, OsPid, Data#data{swap = py_context_swap:retire(Helper, Swap)}).
