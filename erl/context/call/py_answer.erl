%% SPDX-License-Identifier: Apache-2.0
%% @doc What a helper answered, as a result for the caller.
%%
%% Runs in the caller.  Never makes an atom: values are decoded `safe', and
%% where that refuses a value because of an atom that does not exist, the error
%% names it.  The story of the last error of a process is kept undecoded in its
%% dictionary until `last_error/0' asks for it.
-module(py_answer).

-export([value/1, error/2, timeout/1, failed/1, last_error/0, special_atoms/0]).
-export([take_last/0, keep_last/1, last_printed/3, awaited/2]).

-include("../../port/py_wire.hrl").

-define(LAST, '$py_last_error').
-define(BINARY_EXT, 109).
%% A binary of this size is worth more than the head that it keeps.
-define(SHARED, 4096).

%% @doc The atoms that certain Python values become.  Loading this module is
%% what makes them exist.
-spec special_atoms() -> [atom()].
special_atoms() ->
    [none, true, false, nan, infinity, neg_infinity].

%% @doc The value of a RESULT.  One large binary is the answer itself but for its
%% head; it is not copied out of it.
-spec value(binary()) -> {ok, term()} | {error, term()}.
value(Body) when byte_size(Body) < ?SHARED ->
    decoded(Body);
value(<<131, ?BINARY_EXT, Size:32, Data:Size/binary>>) ->
    {ok, Data};
value(Body) ->
    decoded(Body).

decoded(Body) ->
    try
        {ok, binary_to_term(Body, [safe])}
    catch
        error:badarg -> undecodable(Body)
    end.

undecodable(Body) ->
    case py_etf_atoms:unknown(Body) of
        {ok, Name} -> {error, {unknown_atom, Name}};
        none -> {error, {protocol, <<"the answer can not be decoded">>}}
    end.

%% @doc The result for an ERROR: the pair, or the whole story.
-spec error(binary(), pair | map) -> {error, term()}.
error(Body, Errors) ->
    case story(Body) of
        {Type, Message, Story} ->
            _ = put(?LAST, {story, Story}),
            case Errors of
                pair -> {error, {Type, Message}};
                map -> {error, told(Story)}
            end;
        error ->
            {error, {protocol, <<"the error can not be decoded">>}}
    end.

story(Body) ->
    try binary_to_term(Body, [safe]) of
        {Type, Message, Story}
          when length(Type) >= 0, length(Message) >= 0, is_binary(Story) ->
            {Type, Message, Story};
        _ ->
            error
    catch
        error:badarg -> error
    end.

%% @doc The result of a request that was ended because its time was up; where
%% it stood is for `last_error/0'.
-spec timeout(none | {byte(), binary()}) -> {error, timeout}.
timeout({?FRAME_ERROR, Body}) ->
    case story(Body) of
        {_, _, Story} -> put(?LAST, {story, Story});
        error -> put(?LAST, timeout)
    end,
    {error, timeout};
timeout({0, Etf}) ->
    _ = put(?LAST, {failed, Etf}),
    {error, timeout};
timeout(_) ->
    _ = put(?LAST, timeout),
    {error, timeout}.

%% @doc The result for those who waited when the helper was lost: what its
%% context made of it.
-spec failed(binary()) -> {error, term()}.
failed(Etf) ->
    _ = put(?LAST, {failed, Etf}),
    {error, binary_to_term(Etf)}.

%% @doc All that is known about the last error of a call in this process.
-spec last_error() -> map() | none.
last_error() ->
    last(get(?LAST)).

last(Last) ->
    case Last of
        undefined -> none;
        {printed, What, Out, Err} -> (last(What))#{stdout => Out, stderr => Err};
        {story, Story} -> told(Story);
        {failed, Etf} -> lost(binary_to_term(Etf));
        {awaited, Reason} -> short(Reason);
        timeout -> #{type => <<"timeout">>, message => <<"the request was not started">>}
    end.

%% @doc Put the last error away, for a request of which more is to be known.
-spec take_last() -> term().
take_last() ->
    erase(?LAST).

%% @doc The request went well: the last error is the one before.
-spec keep_last(term()) -> ok.
keep_last(undefined) ->
    ok;
keep_last(Last) ->
    _ = put(?LAST, Last),
    ok.

%% @doc It failed: this is what it printed before.
-spec last_printed(term(), binary(), binary()) -> ok.
last_printed(Before, Out, Err) ->
    case get(?LAST) of
        undefined -> keep_last(Before);
        Last -> keep_last({printed, Last, Out, Err})
    end.

%% @doc Another process had this error, and kept that of it.
-spec awaited({error, term()}, {ok, term()} | none) -> ok.
awaited(_, {ok, Last}) -> keep_last(Last);
awaited({error, timeout}, none) -> keep_last(timeout);
awaited({error, Reason}, none) -> keep_last({awaited, Reason}).

%% No more is known than what everybody was told.
short({Type, Message}) when is_list(Type), is_list(Message) ->
    #{type => unicode:characters_to_binary(Type), message => unicode:characters_to_binary(Message)};
short(#{type := _} = Story) ->
    Story;
short(Reason) ->
    lost(Reason).

lost({crashed, Report}) ->
    #{type => <<"crashed">>,
      message => iolist_to_binary(io_lib:format("~0tp", [maps:with([signal, exit_status, reason],
                                                                   Report)])),
      traceback => maps:get(traceback, Report, <<>>),
      stack => maps:get(traceback, Report, <<>>),
      report => Report};
lost(Reason) ->
    #{type => <<"lost">>, message => iolist_to_binary(io_lib:format("~0tp", [Reason]))}.

%% A story has binary keys; ours are these atoms, and what else it may say is
%% left out.
told(Story) ->
    case py_story:decode(Story) of
        {ok, Map} -> known(Map);
        error -> #{type => <<"unknown">>, message => <<>>}
    end.

known(Map) ->
    maps:fold(fun(Key, Value, Acc) ->
                      case key(Key) of
                          none -> Acc;
                          Atom -> Acc#{Atom => part(Atom, Value)}
                      end
              end, #{}, Map).

part(frames, Frames) ->
    [known(F) || F <- py_story:maps(Frames)];
part(_, Inner) when is_map(Inner) ->
    known(Inner);
part(_, Value) ->
    Value.

key(<<"type">>) -> type;
key(<<"module">>) -> module;
key(<<"message">>) -> message;
key(<<"traceback">>) -> traceback;
key(<<"frames">>) -> frames;
key(<<"cause">>) -> cause;
key(<<"context">>) -> context;
key(<<"notes">>) -> notes;
key(<<"stack">>) -> stack;
key(<<"file">>) -> file;
key(<<"line">>) -> line;
key(<<"function">>) -> function;
key(_) -> none.
