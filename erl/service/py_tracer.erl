%% SPDX-License-Identifier: Apache-2.0
%% @doc Spans of Python code (`erlang.Span', `@erlang.trace()') and of Erlang code,
%% kept in a ring: when it is full the oldest ones are dropped, and counted.
%%
%% The current span of a process is the parent of spans in Python code that it
%% calls, and a span of Python that of what Erlang functions do which it calls.
-module(py_tracer).

-export([enable/0, disable/0, get_traces/0, clear/0, info/0]).
-export([with_span/2, with_span/3, current_span/0]).
-export([new_table/0]).
-export([service_parent/1, service_call/1, service_spans/1]).

-export_type([span/0, id/0]).

-define(TABLE, py_traces).
%% What one span may be in bytes, about.
-define(MAX_BYTES, 65536).

-type id() :: binary().

-type span() :: #{name := binary(), span_id := id(), parent_id := id() | none,
                  start_time := integer(), end_time := integer(),
                  duration_us := non_neg_integer(), status := ok | error,
                  attributes := map(), events := [map()]}.
%% Times are microseconds since 1970.

%%% The ring

%% @doc From now on spans are recorded: in requests that are made after this.
-spec enable() -> ok | {error, not_started}.
enable() ->
    tracing(true).

%% @doc And not any more.
-spec disable() -> ok | {error, not_started}.
disable() ->
    tracing(false).

tracing(On) ->
    try
        gen_server:call(py_observer, {tracing, On}, infinity)
    catch
        exit:_ -> {error, not_started}
    end.

%% @doc What is recorded, the oldest (by its end) first.
-spec get_traces() -> {ok, [span()]} | {error, not_started}.
get_traces() ->
    try
        {ok, ets:select(?TABLE, [{{'$1', '$2'}, [{is_integer, '$1'}], ['$2']}])}
    catch
        error:badarg -> {error, not_started}
    end.

%% @doc Forget what is recorded, and how much was dropped.
-spec clear() -> ok | {error, not_started}.
clear() ->
    try
        _ = ets:select_delete(?TABLE, [{{'$1', '_'}, [{is_integer, '$1'}], [true]}]),
        true = ets:insert(?TABLE, {dropped, 0}),
        ok
    catch
        error:badarg -> {error, not_started}
    end.

%% @doc `enabled', how many spans are there (`size'), may be there (`max'), and were
%% `dropped'.
-spec info() -> {ok, map()} | {error, not_started}.
info() ->
    try
        {ok, #{enabled => py_events:flags() =/= 0,
               size => ets:info(?TABLE, size) - 2,
               max => terrarium_config:get(max_traces),
               dropped => ets:lookup_element(?TABLE, dropped, 2)}}
    catch
        error:_ -> {error, not_started}
    end.

%% @private
-spec new_table() -> ok.
new_table() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, ordered_set, {write_concurrency, true}]),
    true = ets:insert(?TABLE, [{last, 0}, {dropped, 0}]),
    ok.

%% Each one drops the one that it pushes out; one that comes so late that others
%% have pushed it out before drops itself.
record(Span) ->
    Max = terrarium_config:get(max_traces),
    try
        N = ets:update_counter(?TABLE, last, 1),
        true = ets:insert(?TABLE, {N, Span}),
        drop(N - Max),
        case ets:lookup_element(?TABLE, last, 2) - Max of
            First when First >= N -> drop(N);
            _ -> ok
        end
    catch
        error:badarg -> ok
    end.

drop(N) ->
    case ets:take(?TABLE, N) of
        [_] -> ets:update_counter(?TABLE, dropped, 1);
        [] -> 0
    end.

%%% Spans of Erlang code

%% @equiv with_span(Name, #{}, Fun)
-spec with_span(terrarium_config:name(), fun(() -> Result)) -> Result.
with_span(Name, Fun) ->
    with_span(Name, #{}, Fun).

%% @doc Run this as a span, of the calling process.  An exception
%% `{invalid, name, Name}' is for a name that is none.
-spec with_span(terrarium_config:name(), map(), fun(() -> Result)) -> Result.
with_span(Name, Attributes, Fun) ->
    %% Also while nothing is recorded: a bad name does not wait for that to show.
    case {terrarium_config:name(Name), py_events:flags()} of
        {error, _} -> error({invalid, name, Name});
        {_, 0} -> Fun();
        {{ok, Text}, _} -> within(Text, Attributes, Fun)
    end.

within(Text, Attributes, Fun) ->
    Id = binary:encode_hex(random_id()),
    Parent = py_events:within(Id),
    Start = erlang:system_time(microsecond),
    Clock = erlang:monotonic_time(microsecond),
    End = fun(Status, Events) ->
                  _ = py_events:within(Parent),
                  Took = erlang:monotonic_time(microsecond) - Clock,
                  record(#{name => Text, span_id => Id, parent_id => known(Parent),
                           start_time => Start, end_time => Start + Took,
                           duration_us => Took, status => Status,
                           attributes => Attributes, events => Events})
          end,
    try Fun() of
        Result ->
            _ = End(ok, []),
            Result
    catch
        Class:Reason:Stack ->
            _ = End(error, [exception(Class, Reason)]),
            erlang:raise(Class, Reason, Stack)
    end.

exception(Class, Reason) ->
    Message = iolist_to_binary(io_lib:format("~0tP", [Reason, 30])),
    #{name => <<"exception">>, time => erlang:system_time(microsecond),
      attributes => #{<<"type">> => atom_to_binary(Class), <<"message">> => Message}}.

random_id() ->
    <<(rand:uniform(1 bsl 64) - 1):64>>.

%% @doc The current span of the calling process.
-spec current_span() -> id() | none.
current_span() ->
    known(py_events:span()).

known(undefined) -> none;
known(Id) -> Id.

%%% Services

%% @private Python asks for the parent of a span.
-spec service_parent([]) -> id() | none.
service_parent([]) ->
    current_span().

%% @private Python calls a function from within a span.
-spec service_call([term()]) -> term().
service_call([Id, Name, Args, Kwargs]) when is_binary(Id), is_binary(Name) ->
    Before = py_events:within(Id),
    Capture = py_stdout:set_aside(),
    try
        py_callback:apply_function(Name, Args, Kwargs)
    after
        ok = py_stdout:take_up(Capture),
        py_events:within(Before)
    end.

%% @private Spans have ended in Python.
-spec service_spans([term()]) -> true.
service_spans([Spans]) when is_list(Spans) ->
    case py_events:flags() of
        0 -> ok;
        _ -> lists:foreach(fun(Span) -> record(checked(Span)) end, Spans)
    end,
    ok = py_remote_runner:spans({<<"trace">>, <<"spans">>}, [Spans]),
    true.

%% Ours are the keys, the status is from a closed set, the size has a bound.
checked(#{<<"name">> := Name, <<"span_id">> := Id, <<"parent_id">> := Parent,
          <<"start_time">> := Start, <<"end_time">> := End, <<"duration_us">> := Took,
          <<"status">> := Status, <<"attributes">> := Attributes, <<"events">> := Events})
  when is_binary(Name), is_binary(Id), is_integer(Start), is_integer(End), is_integer(Took),
       is_map(Attributes), is_list(Events) ->
    Span = #{name => Name, span_id => Id, parent_id => Parent, start_time => Start,
             end_time => End, duration_us => Took, status => status(Status),
             attributes => Attributes, events => [event(E) || E <- Events]},
    case erlang:external_size(Span) of
        Size when Size > ?MAX_BYTES ->
            Span#{attributes := #{<<"cut">> => true}, events := []};
        _ -> Span
    end.

status(<<"ok">>) -> ok;
status(<<"error">>) -> error.

event(#{<<"name">> := Name, <<"time">> := Time, <<"attributes">> := Attributes}) ->
    #{name => Name, time => Time, attributes => Attributes}.
