%% SPDX-License-Identifier: Apache-2.0
%% @doc Strangers' code, run once: a fresh helper that is locked up already, the
%% result with what was printed and used, or a precise error; then the helper is
%% thrown away.
-module(py_sandbox).

-export([info/0, info/1, run/1, run/2]).

-export_type([options/0, result/0]).

-define(FOLDER_LIMIT, 1048576).

-type options() :: #{policy => py_policy:given(), runtime => atom(),
                     inputs => #{terrarium_config:name() => term()},
                     files => #{terrarium_config:name() => binary()},
                     outputs => [terrarium_config:name()], outputs_max => pos_integer(),
                     spares => non_neg_integer()}.
%% `inputs': names that the code finds bound; `files', `outputs': what is put into
%% its `/tmp' before, and taken from there afterwards, `outputs_max' bytes together
%% (both need `{tmp, Bytes}'); `spares': how many helpers are kept ready for the next
%% runs with the same policy.

-type result() :: {ok, #{value := term(), stdout := binary(), stderr := binary(),
                         files := #{binary() => binary()}, usage := map()}}
                | {error, term()}.

%% @doc The layers that contexts of each level get here, in the default runtime.
-spec info() -> {ok, #{py_policy:layer() | default | strict => term()}} | {error, term()}.
info() ->
    info(default).

%% @doc The same in another runtime: `#{default => Layers, strict => Layers}', or in
%% the place of layers `{unavailable, Missing}'.
-spec info(atom()) -> {ok, #{default | strict => term()}} | {error, term()}.
info(Runtime) ->
    Probed = [{Level, probe(Runtime, Level)} || Level <- [default, strict]],
    case [E || {_, {error, _} = E} <- Probed] of
        [] -> {ok, maps:from_list(Probed)};
        [Error | _] -> Error
    end.

probe(Runtime, Level) ->
    {ok, Policy} = py_policy:check(Level),
    case py_runtime_probes:probe(Runtime, py_policy:wire(Policy)) of
        {ok, Names} -> py_policy:layers(Names);
        {error, {missing_layers, Names}} -> {unavailable, py_policy:layers(Names)};
        {error, _} = Error -> Error
    end.

%% @doc Run this code at level `default'.
%% @equiv run(Code, #{})
-spec run(terrarium_config:name()) -> result().
run(Code) ->
    run(Code, #{}).

%% @doc Run this code.  `value' is that of its last statement if that is an
%% expression, else `none'; `usage' has `wall_ms', and of the process, if its end was
%% seen, `user_ms', `system_ms' and `rss', the most memory that it had.  Errors beside
%% those of `py_context':
%% <dl>
%% <dt>`{limit, wall_ms | cpu_ms | memory | output_bytes}'</dt><dd>it was over
%%   that limit</dd>
%% <dt>`{sandbox, {syscall, Name}}'</dt><dd>it tried what only exploits do; `Name'
%%   is a binary, or `unknown' where the call left none</dd>
%% <dt>`{sandbox, {unavailable, Layers}}'</dt><dd>this host has not what the policy
%%   requires</dd>
%% </dl>
-spec run(terrarium_config:name(), options()) -> result().
run(Code, Options) ->
    case prepare(Code, Options) of
        {ok, Args, Plan} -> in_context(Args, Plan);
        {error, _} = Error -> Error
    end.

%%% Options

prepare(Code, Options) when is_map(Options) ->
    Unknown = maps:keys(Options) -- [policy, runtime, inputs, files, outputs, outputs_max, spares],
    Texts = {code(Code), py_prepare:kwargs(maps:get(inputs, Options, #{})),
             files(maps:get(files, Options, #{})),
             terrarium_config:names(maps:get(outputs, Options, []))},
    case {Unknown, Texts} of
        {[Key | _], _} -> invalid(Key, Options);
        {_, {error, _, _, _}} -> {error, {invalid, code, Code}};
        {_, {_, error, _, _}} -> invalid(inputs, Options);
        {_, {_, _, error, _}} -> invalid(files, Options);
        {_, {_, _, _, error}} -> invalid(outputs, Options);
        {[], {C, Inputs, {ok, Files}, {ok, Wanted}}} ->
            Max = maps:get(outputs_max, Options, ?FOLDER_LIMIT),
            with_context([C, Inputs, Files, Wanted, Max], Options)
    end;
prepare(_, Options) ->
    {error, {invalid, options, Options}}.

%% Bytes that are no UTF-8 would be `bytes' there, and no code.
code(Code) ->
    case py_prepare:text(Code) of
        Text when is_binary(Text) ->
            case unicode:characters_to_binary(Text) of
                Text -> Text;
                _ -> error
            end;
        error -> error
    end.

invalid(Key, Options) ->
    {error, {invalid, Key, maps:get(Key, Options)}}.

files(Map) when is_map(Map) ->
    Pairs = [{terrarium_config:name(K), V} || {K, V} <- maps:to_list(Map)],
    case [ok || {{ok, _}, V} <- Pairs, is_binary(V)] of
        Good when length(Good) =:= length(Pairs) ->
            {ok, maps:from_list([{K, V} || {{ok, K}, V} <- Pairs])};
        _ ->
            error
    end;
files(_) ->
    error.

with_context([_, _, _, _, Max] = Args, Options) when is_integer(Max), Max > 0 ->
    case py_sandbox_plan:find(Options) of
        {ok, Plan} -> {ok, Args, Plan};
        {error, _} = Error -> Error
    end;
with_context([_, _, _, _, Max], _) ->
    {error, {invalid, outputs_max, Max}}.

%%% The run

in_context(Args, Plan) ->
    case py_context_runs:start_context(Plan) of
        {ok, Context} ->
            Begun = erlang:monotonic_time(millisecond),
            try py_context:call(Context, <<"erlang._sandboxed">>, <<"run">>, Args) of
                Result ->
                    Wall = erlang:monotonic_time(millisecond) - Begun,
                    told(Result, Args, (py_context_end:finish(Context))#{wall_ms => Wall})
            catch
                Class:Reason:Stack ->
                    ok = py_context:stop(Context),
                    erlang:raise(Class, Reason, Stack)
            end;
        {error, _} = Error ->
            Error
    end.

told({ok, #{value := {Value, Found}, stdout := Out, stderr := Err}}, Args, Usage)
  when is_map(Found) ->
    case wanted(Found, Args) of
        {ok, Files} ->
            {ok, #{value => Value, stdout => Out, stderr => Err, files => Files,
                   usage => Usage}};
        error ->
            {error, {protocol, <<"files that nobody asked for">>}}
    end;
told({ok, _}, _, _) ->
    {error, {protocol, <<"no result in the answer">>}};
told({error, timeout}, _, _) ->
    {error, {limit, wall_ms}};
told({error, {"MemoryError", _}}, _, _) ->
    {error, {limit, memory}};
told({error, {crashed, #{traceback := Where, stderr := Said} = Report}}, _, _) ->
    {error, {crashed, Report#{traceback := theirs(Where), stderr := theirs(Said)}}};
told({error, _} = Error, _, _) ->
    Error.

%% What called their code is left out, and where this library lies is not told.
theirs(Text) ->
    Files = re:replace(Text, <<"\"[^\"\n]*/(erlang/[a-z_]+\\.py)\"">>, <<"\"\\1\"">>,
                       [global, {return, binary}]),
    re:replace(Files, <<" *File \"erlang/_sandboxed\\.py\"[^\n]*\n?">>, <<>>,
               [global, {return, binary}]).

%% Whoever writes them somewhere by their names need not mind these: they are those that
%% were asked for, and no more of them than that.
wanted(Files, [_, _, _, Names, Max]) ->
    Sizes = [case Data of <<_/binary>> -> byte_size(Data); _ -> Max + 1 end
             || Data <- maps:values(Files)],
    case maps:keys(Files) -- Names =:= [] andalso lists:sum(Sizes) =< Max of
        true -> {ok, Files};
        false -> error
    end.
